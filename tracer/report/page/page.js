(() => {
  const make = (name, text, parent, before) => {
    const e = document.createElement(name);
    e.textContent = text;
    parent.insertBefore(e, before || null);
    return e;
  };
  for (const pre of document.querySelectorAll("pre.copy")) {
    const b = make("button", "Copy this text", pre.parentNode, pre);
    b.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
      } catch {
        getSelection().selectAllChildren(pre);
        document.execCommand("copy");
      }
      b.textContent = "Copied";
      setTimeout(() => { b.textContent = "Copy this text"; }, 2000);
    });
  }
  for (const table of document.querySelectorAll("table.sort")) {
    const body = table.tBodies[0], rows = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((th, i) => {
      const b = make("button", th.textContent, th);
      th.firstChild.remove();
      b.type = "button";
      b.addEventListener("click", () => {
        const down = th.getAttribute("aria-sort") !== "descending";
        for (const o of th.parentNode.cells) o.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = r => r.cells[i].dataset.v ?? r.cells[i].textContent;
        const number = th.classList.contains("n");
        rows.sort((a, b) => (number ? key(a) - key(b) : key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (down ? -1 : 1));
        body.append(...rows);
      });
    });
    if (rows.length < 8) continue;
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "Find an address, a transaction, a word …";
    input.setAttribute("aria-label", "Show only rows with this text");
    const scroll = table.closest(".scroll");
    scroll.parentNode.insertBefore(input, scroll);
    input.addEventListener("input", () => {
      const want = input.value.trim().toLowerCase();
      for (const r of rows) r.hidden = !r.textContent.toLowerCase().includes(want);
    });
  }
  const flow = document.querySelector("figure.flow");
  if (flow) {
    const b = make("button", "Fit the drawing to the window", flow, flow.firstChild);
    b.className = "screen";
    b.addEventListener("click", () => {
      b.textContent = flow.classList.toggle("fit") ? "Show the drawing at full size" : "Fit the drawing to the window";
    });
  }
})();
