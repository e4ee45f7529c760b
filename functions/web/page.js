// The page of scamtrace. Whatever comes from the server or from people is put
// into the page as text, never as markup. The address after # says what is on
// the screen: #new, #cases, or #case= and an id; it survives a reload. Nothing
// is stored but the sign-in, in this tab, until it is closed.
"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const sections = ["sign-in", "new", "case", "cases"];
  let config = {chains: []};

  // make returns an element; children that are strings become text.
  const make = (name, has, ...children) => {
    const e = document.createElement(name);
    for (const [k, v] of Object.entries(has || {})) {
      if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
      else if (typeof v === "boolean") e[k] = v;
      else if (v) e.setAttribute(k, v);
    }
    e.append(...children.filter(c => c));
    return e;
  };
  const fill = (e, ...children) => e.replaceChildren(...children.filter(c => c));
  // tell sets the text of an element, and leaves it alone if it is the same: it
  // may be read aloud at every change.
  const tell = (e, text) => {
    if (e.textContent !== (text || "")) e.textContent = text || "";
    e.hidden = !text;
  };
  const say = text => { $("said").textContent = text; };
  const count = (n, one, more) => n === 1 ? `1 ${one}` : `${n.toLocaleString("en")} ${more}`;
  const and = list => list.length < 2 ? list.join("") : `${list.slice(0, -1).join(", ")} and ${list.at(-1)}`;
  const dollars = s => "$" + (s || "0").replace(/\.00$/, "").replace(/^\d+/, n => n.replace(/\B(?=(\d{3})+$)/g, ","));
  const day = t => new Date(t).toLocaleDateString("en-GB", {day: "numeric", month: "long", year: "numeric"});
  const minute = t => new Date(t).toLocaleString("en-GB", {day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", timeZone: "UTC"}) + " UTC";
  const ago = t => {
    const m = Math.max(0, Math.round((Date.now() - new Date(t)) / 60000));
    if (m < 1) return "less than a minute ago";
    if (m < 90) return count(m, "minute", "minutes") + " ago";
    return m < 2880 ? count(Math.round(m / 60), "hour", "hours") + " ago" : count(Math.round(m / 1440), "day", "days") + " ago";
  };

  // Errors are sentences that say what to do next.
  class Trouble extends Error {
    constructor(text, status, details) {
      super(text);
      Object.assign(this, {status, details: details || []});
    }
  }
  const offline = "The server cannot be reached. Check the internet connection and try again; nothing was lost.";
  const odd = {
    403: "You may not do this here. Ask the person who runs this service.",
    429: "That was too much at once. Wait a moment and try again.",
  };

  const api = async (method, path, body, header) => {
    const headers = {...header};
    if (token()) headers.Authorization = "Bearer " + token();
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let r;
    try {
      r = await fetch(path, {method, headers, body: body && JSON.stringify(body), cache: "no-store", redirect: "error", signal: AbortSignal.timeout(45000)});
    } catch {
      throw new Trouble(offline, 0);
    }
    const data = await r.json().catch(() => null);
    if (r.ok) return data;
    if (r.status === 401 && config.signIn) {
      leave();
      door("Your sign-in has ended. Please sign in again; you come back to where you are now.");
    }
    throw new Trouble(data?.detail || odd[r.status] || "The server has trouble now. Wait a minute and try again; nothing was lost.", r.status, data?.errors);
  };

  const clear = () => { $("error").hidden = true; };
  // fail shows an error at the top of the page, and brings whoever caused it there.
  const fail = (e, {details, calmly} = {}) => {
    if (e.status === 401 && config.signIn) return; // the sign-in is on the screen
    if (!(e instanceof Trouble)) {
      console.error(e);
      e = new Trouble("This page made a mistake. Load it again; if it happens again, tell the person who runs this service.");
    }
    const list = details || e.details.map(d => d.message).filter(Boolean);
    fill($("error"), make("p", {}, make("strong", {}, e.message)), list.length > 0 && make("ul", {}, ...list.map(d => make("li", {}, d))));
    $("error").hidden = false;
    if (calmly) return;
    $("error").scrollIntoView({block: "nearest"});
    $("error").focus({preventScroll: true});
  };
  // busy runs an act of a button, once at a time, and shows what goes wrong.
  const busy = async (button, act) => {
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    clear();
    try {
      await act();
    } catch (e) {
      fail(e);
    } finally {
      button.ariaBusy = null;
    }
  };

  // ---- Sign-in: OpenID Connect, a code with PKCE.

  const token = () => config.signIn ? sessionStorage.getItem("token") : null;
  const leave = () => { sessionStorage.removeItem("token"); $("who").hidden = true; };
  const base64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const home = () => location.origin + "/";

  const door = why => {
    if (why) $("why").textContent = why;
    show("sign-in", "Sign in");
  };
  const enter = async () => {
    const verifier = base64(crypto.getRandomValues(new Uint8Array(48))), state = base64(crypto.getRandomValues(new Uint8Array(24)));
    sessionStorage.setItem("door", JSON.stringify({verifier, state, hash: location.hash}));
    keep();
    const challenge = base64(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
    const to = new URL(config.signIn.authorize);
    for (const [k, v] of Object.entries({
      response_type: "code", client_id: config.signIn.client, redirect_uri: home(), scope: "openid email",
      state, code_challenge: challenge, code_challenge_method: "S256",
    })) to.searchParams.set(k, v);
    location.assign(to);
  };
  // comeBack changes the code for a token when the issuer has sent somebody back.
  const comeBack = async () => {
    const q = new URLSearchParams(location.search);
    if (!q.has("state")) return;
    const mine = JSON.parse(sessionStorage.getItem("door") || "{}");
    sessionStorage.removeItem("door");
    history.replaceState(null, "", "/" + (mine.hash || ""));
    const again = new Trouble("Signing in did not work. Please try once more; if it fails again, ask the person who runs this service.");
    if (!q.has("code") || !mine.state || q.get("state") !== mine.state) throw again;
    let answer;
    try {
      const r = await fetch(config.signIn.token, {method: "POST", credentials: "omit", body: new URLSearchParams({
        grant_type: "authorization_code", client_id: config.signIn.client, redirect_uri: home(), code: q.get("code"), code_verifier: mine.verifier,
      })});
      answer = r.ok && await r.json();
    } catch { /* as an answer without a token */ }
    if (!answer?.id_token) throw again;
    sessionStorage.setItem("token", answer.id_token);
  };
  // greet shows who is signed in, by what the token says; only the server checks it.
  const greet = () => {
    let email = "";
    try {
      const bytes = Uint8Array.from(atob(token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
      email = JSON.parse(new TextDecoder().decode(bytes)).email;
    } catch { /* it is for show */ }
    $("email").textContent = typeof email === "string" ? email : "";
    $("who").hidden = false;
  };

  $("enter").addEventListener("click", () => busy($("enter"), enter));
  $("leave").addEventListener("click", () => {
    leave();
    sessionStorage.clear();
    const {logout, client} = config.signIn;
    if (!logout) { door("You are signed out."); return; }
    const to = new URL(logout); // the last two are how Cognito calls them
    for (const [k, v] of Object.entries({client_id: client, post_logout_redirect_uri: home(), logout_uri: home()})) to.searchParams.set(k, v);
    location.assign(to);
  });

  // ---- A new case.

  let items = []; // what was recognised: {kind, text, seed, problem, out}
  let sent = {};  // the last submission and its key: the same again is the same case

  const kinds = {address: "An address", transaction: "A payment, by its transaction hash", problem: "This cannot be used"};

  const recognise = async text => {
    const found = await api("POST", "/v1/parse", {text, chain: $("chain").value});
    const out = new Set(items.filter(i => i.out).map(i => i.seed));
    items = found.items.map(i => ({...i, out: out.has(i.seed)}));
    // What is not repeated may be a secret.
    const secret = items.some(i => i.kind === "problem" && !i.text);
    if (secret) $("text").value = "";
    $("secret").hidden = !secret;
    draw();
    if (found.more) $("counts").append(" There is more; these are the first of it.");
    $("confirm").hidden = false;
  };

  // good are the items that will be followed.
  const good = () => items.filter(i => i.kind !== "problem" && !i.out);

  const draw = () => {
    fill($("items"), ...items.map(i => {
      const text = i.text && make("code", {}, make("bdi", {}, i.text));
      if (i.kind === "problem") return make("li", {}, make("div", {class: "wrong"}, make("div", {}, make("span", {class: "kind"}, i.text ? kinds.problem : "This may be a secret"), text, make("p", {}, i.problem))));
      const li = make("li", {class: i.out ? "out" : ""}, make("label", {},
        make("input", {type: "checkbox", checked: !i.out, onchange: e => { i.out = !e.target.checked; li.className = i.out ? "out" : ""; sum(); }}),
        make("span", {}, make("span", {class: "kind"}, kinds[i.kind]), text)));
      return li;
    }));
    sum();
  };
  // sum says how many of what will be followed.
  const sum = () => {
    const n = kind => good().filter(i => i.kind === kind).length;
    const addresses = n("address"), payments = n("transaction"), wrong = items.filter(i => i.kind === "problem").length;
    const have = and([addresses && count(addresses, "address", "addresses"), payments && count(payments, "payment", "payments")].filter(Boolean));
    const parts = [];
    if (items.length === 0) parts.push("We found no address and no transaction hash in this text. An address begins with 0x and has 40 more characters; on Tron, with T and 33 more. Copy it from the app or the site the money was sent from, and paste it above.");
    else if (have) parts.push(`We will follow ${have}. Untick what the victim did not pay to.`);
    else parts.push("There is nothing yet that we can follow.");
    if (wrong) parts.push(`${count(wrong, "thing", "things")} cannot be used; below it stands why, and what to do.`);
    $("counts").textContent = parts.join(" ");
    $("usable").hidden = !have;
    $("better").hidden = !addresses || payments > 0;
    const ends = good().filter(i => i.kind === "address").map(i => i.seed.slice(0, 6) + i.seed.slice(-4)).map(s => s.startsWith("0x") ? s.toLowerCase() : s);
    $("alike").hidden = new Set(ends).size === ends.length;
  };

  $("paste").addEventListener("submit", e => {
    e.preventDefault();
    busy(e.submitter || $("text"), async () => {
      if (!$("text").value.trim()) {
        $("text").focus();
        throw new Trouble("The field is empty. Paste a text with an address or a transaction hash in it.");
      }
      await recognise($("text").value);
      $("found").scrollIntoView();
      $("found").focus({preventScroll: true});
    });
  });
  // What is a service on one network may be a person's wallet on another.
  $("chain").addEventListener("change", () => {
    if (items.length > 0) busy($("go"), () => recognise(items.map(i => i.seed || i.text).join("\n")));
  });

  $("confirm").addEventListener("submit", e => {
    e.preventDefault();
    busy($("go"), async () => {
      const seeds = good().map(i => i.seed), {value: since} = $("since"), {value: until} = $("until");
      for (const d of [$("since"), $("until")]) {
        if (d.validity.badInput) {
          $("more").open = true;
          d.focus();
          throw new Trouble("This day is not complete. Give day, month and year, or clear it.");
        }
      }
      const body = {chain: $("chain").value, seeds, reference: $("reference").value.trim() || undefined,
        since: since ? since + "T00:00:00Z" : undefined, until: until ? until + "T23:59:59Z" : undefined};
      const text = JSON.stringify(body);
      if (sent.text !== text) sent = {text, key: crypto.randomUUID()};
      let c;
      try {
        c = await api("POST", "/v1/cases", body, {"Idempotency-Key": sent.key});
      } catch (err) {
        if (err.status !== 422) throw err;
        // Each detail stands beside the seed that it is about.
        fail(err, {details: err.details.map(d => {
          const n = /^body\.seeds\[(\d+)\]$/.exec(d.location || "");
          return (n && seeds[n[1]] ? seeds[n[1]] + ": " : "") + d.message;
        })});
        return;
      }
      wipe();
      location.hash = "case=" + c.id;
    });
  });
  const wipe = () => {
    items = [];
    sent = {};
    $("paste").reset();
    $("confirm").reset();
    $("confirm").hidden = $("secret").hidden = true;
  };
  // keep holds what was recognised while somebody signs in again; take takes it up.
  const fields = ["chain", "reference", "since", "until"];
  const keep = () => {
    if (items.length > 0) sessionStorage.setItem("draft", JSON.stringify({items, values: fields.map(f => $(f).value)}));
  };
  const take = () => {
    const draft = JSON.parse(sessionStorage.getItem("draft") || "null");
    sessionStorage.removeItem("draft");
    if (!draft) return;
    fields.forEach((f, i) => { $(f).value = draft.values[i]; });
    items = draft.items;
    draw();
    $("confirm").hidden = false;
  };

  // ---- A case.

  const statuses = {
    queued: "… waits for its turn", tracing: "… being followed", done: "✓ complete", partial: "! not the whole story",
    failed: "✕ not finished", erased: "erased",
  };
  const pill = (e, c) => {
    const s = c.erased ? "erased" : c.status;
    e.className = "pill " + s;
    tell(e, statuses[s] || s);
  };
  const named = c => c.reference ? ["Reference ", make("bdi", {}, c.reference)] : ["Case of " + minute(c.created)];
  const working = c => c.status === "queued" || c.status === "tracing";
  const chainTitle = name => config.chains.find(c => c.name === name)?.title || name;

  // files of a report: what each is for, and for whom. What is not here is still offered.
  const about = {
    "bundle.zip": ["For the police and for exchanges", "All files of the report in one, as they should be handed on."],
    "evidence.zip": ["For whoever doubts it", "What the chain’s node answered; with it, scamtrace replay comes to the same report again."],
    "summary.pdf": ["For the police file", "The outcome on a few pages, to print."],
    "exits.csv": ["For the police and for exchanges", "Each service that the money reached, with addresses and amounts. Opens in Excel."],
    "transfers.csv": ["For an investigator", "Every movement of the victim’s money, with its transaction. Opens in Excel."],
    "wallets.csv": ["For an investigator", "Every wallet that the money touched. Opens in Excel."],
    "uncounted.csv": ["For an investigator", "What came to the wallets and is no money, and why. Opens in Excel."],
    "tokens.csv": ["For an investigator", "Tokens of unknown value, and what they say of themselves. Opens in Excel."],
    "clusters.csv": ["For an investigator", "Wallets that likely act as one, and why. Opens in Excel."],
    "report.xlsx": ["For an investigator", "All tables in one workbook for Excel."],
    "diff.json": ["For an investigator", "What changed since the report before, for a program."],
    "ic3.txt": ["For a report to the FBI", "The answers for the form at ic3.gov."],
    "graph.graphml": ["For an analyst", "The picture of the money’s way, for yEd, Gephi or Maltego."],
    "graph.gexf": ["For an analyst", "The same picture, for Gephi."],
    "graph.dot": ["For an analyst", "The same picture, for Graphviz."],
    "stix.json": ["For an analyst", "The findings for threat-intelligence systems (STIX)."],
    "misp.json": ["For an analyst", "The findings for MISP."],
    "tagpack.yaml": ["For an analyst", "The findings for GraphSense."],
    "transfers.parquet": ["For a data team", "The movements as a table for databases."],
    "report.json": ["For a program", "All that the report says, exactly."],
    "manifest.json": ["For whoever must prove it", "The fingerprint of each file, and all that the report rests on."],
    "manifest.sig": ["For whoever must prove it", "The signature: it shows that nobody changed a file since."],
  };
  const order = Object.keys(about);
  const rank = f => f.startsWith("letters/") ? -1 : order.includes(f) ? order.indexOf(f) : order.length;
  const whom = f => f.startsWith("letters/") ? ["For an exchange or an issuer", "A letter, ready to be sent."] : about[f] || ["", "Another file of the report."];

  let watch = 0; // grows when another case, or none, comes to the screen
  let shown;     // the case on the screen
  let listed;    // the reports that are drawn

  const path = id => "/v1/cases/" + encodeURIComponent(id);
  // get downloads a file of a report. The link is made on the click, and lives a quarter of an hour.
  const get = async (id, block, file) => {
    const {link} = await api("GET", `${path(id)}/reports/${block}/${encodeURIComponent(file)}?tell=true`);
    location.assign(link);
    if (file === "report.html") tell($("got"), "The report is among your downloads now. Open it there.");
    else say(file + " is among your downloads now.");
  };
  const fileButton = (c, r, file, text) => {
    const b = make("button", {type: "button", onclick: () => busy(b, () => get(c.id, r.block, file))}, text || file);
    return b;
  };

  const drawCase = c => {
    const before = shown?.id === c.id ? shown.status : "";
    shown = c;
    const last = c.reports.at(-1), busyNow = working(c), p = c.progress;
    pill($("status"), c);
    if (!before) fill($("called"), ...named(c));
    tell($("about"), chainTitle(c.chain) + (c.reference ? ", begun on " + day(c.created) : ""));
    tell($("outcome"), last ? last.sentence : busyNow ? "We are following the money." : "This case could not be finished.");

    $("work").hidden = !busyNow;
    if (busyNow) {
      tell($("progress"), c.status === "queued" && p.wallets === 0 ? "The case is saved and waits for its turn." :
        p.wallets === 0 ? (last ? "Looking for what is new." : "We have begun. The first figures come within a minute.") :
        `Looked at ${count(p.wallets, "wallet", "wallets")}; ${dollars(p.followedUsd)} has reached services so far.` + (p.waiting ? ` ${count(p.waiting, "wallet", "wallets")} to look at next.` : ""));
      tell($("patience"), "Most cases take a few minutes, large ones some hours. You can close this page: the work goes on without it, and you find the case under “All cases”." +
        (Date.now() - new Date(c.created) > 600000 ? ` Last step: ${ago(c.updated)}.` : ""));
    }
    fill($("reason"), make("p", {}, c.status === "partial" && make("strong", {}, "This is not the whole story. "), c.reason, busyNow && " You need not do anything."));
    $("reason").hidden = !c.reason;
    $("reason").className = c.status === "failed" ? "box bad" : "box";

    $("result").hidden = !last;
    const now = c.id + c.reports.map(r => r.block).join();
    if (last && listed !== now) { // buttons stay where they are as long as they can
      listed = now;
      tell($("change"), last.changes);
      $("changes").hidden = !last.changes;
      tell($("got"), "");
      $("report").onclick = () => busy($("report"), () => get(c.id, last.block, "report.html"));
      tell($("upto"), `It tells what happened up to ${minute(last.time)}.`);
      const files = last.files.filter(f => f !== "report.html").concat(last.changes ? ["diff.json"] : []);
      files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
      fill($("files"), ...files.map(f => make("li", {}, make("div", {}, make("span", {class: "for"}, whom(f)[0]), make("p", {}, whom(f)[1])), fileButton(c, last, f))));
      $("older").hidden = c.reports.length < 2;
      fill($("reports"), ...c.reports.slice(0, -1).reverse().map(r => make("li", {}, make("span", {class: "dim"}, `Up to ${minute(r.time)}`), make("p", {}, r.sentence), r.changes && make("p", {}, r.changes), fileButton(c, r, "report.html", "Download this report"))));
    }
    fill($("seeds"), ...c.seeds.map(s => make("li", {}, make("code", {}, s))));

    $("acts").hidden = Boolean(c.erased);
    tell($("again"), busyNow ? "" : c.status === "failed" ? "Try again" : "Look again now");
    tell($("again-hint"), c.status === "failed" ? "What was read so far is not lost; another try goes on from there." : busyNow ? "" :
      c.next ? `We look again by ourselves, the next time on ${day(c.next)}, and add a report if something moved.` : "");
    document.title = (busyNow ? "… " : "") + (c.reference || "Case") + " · Where did the money go?";
    if (before && before !== c.status && !busyNow) say("Finished. " + (c.status === "failed" ? c.reason : last.sentence));
  };

  const sleep = ms => new Promise(r => setTimeout(r, ms));
  const visible = () => document.hidden ? new Promise(r => document.addEventListener("visibilitychange", r, {once: true})) : null;

  // follow shows a case and asks again while it is at work: soon when something
  // moved, ever more seldom when nothing does, not at all while nobody looks.
  const follow = async id => {
    const mine = ++watch;
    let wait = 1000, was = "", lost = false;
    for (;;) {
      try {
        const c = await api("GET", path(id));
        if (mine !== watch) return;
        if (lost) clear();
        lost = false;
        drawCase(c);
        show("case");
        if (!working(c)) return;
        wait = c.updated === was ? Math.min(wait * 1.5, 15000) : 1500;
        was = c.updated;
      } catch (e) {
        if (mine !== watch) return;
        if (e.status !== 0 && e.status !== 429 && !(e.status >= 500)) { // what asking again does not help
          fail(e);
          return;
        }
        if (!lost) fail(new Trouble("The server cannot be reached now. Your case is safe; we keep trying, and you need not do anything."), {calmly: true});
        lost = true;
        wait = Math.min(wait * 2, 30000);
      }
      await sleep(wait);
      await visible();
      if (mine !== watch) return;
    }
  };

  $("again").addEventListener("click", () => busy($("again"), async () => {
    drawCase(await api("POST", path(shown.id) + "/retrace"));
    $("outcome").focus();
    follow(shown.id);
  }));
  $("erase").addEventListener("click", () => { $("sure").returnValue = ""; $("sure").showModal(); });
  $("sure").addEventListener("close", () => {
    if ($("sure").returnValue !== "erase") return;
    busy($("erase"), async () => {
      await api("DELETE", path(shown.id));
      news = "The case was erased.";
      location.hash = "cases";
    });
  });

  // ---- The list.

  let after = "";
  const row = c => {
    const status = make("span", {});
    pill(status, c);
    const text = c.reports.at(-1)?.sentence || (working(c) ? `Looked at ${count(c.progress.wallets, "wallet", "wallets")} so far.` : c.reason);
    return make("li", {}, make("a", {href: "#case=" + c.id}, make("span", {class: "meta"}, make("strong", {}, ...named(c)), status, c.reference && make("span", {class: "dim"}, day(c.created))), text && make("p", {}, text)));
  };
  const list = async from => {
    const mine = from ? watch : ++watch;
    const page = await api("GET", "/v1/cases?limit=20" + (from ? "&after=" + encodeURIComponent(from) : ""));
    if (mine !== watch) return;
    const rows = page.cases.map(row);
    if (from) $("list").append(...rows);
    else fill($("list"), ...rows);
    after = page.after || "";
    $("further").hidden = !after;
    $("none").hidden = $("list").children.length > 0;
    if (from) rows[0]?.querySelector("a").focus();
    else show("cases", "All cases");
  };
  $("further").addEventListener("click", () => busy($("further"), () => list(after)));

  // ---- What is on the screen.

  let screen = "", news = ""; // news is told on the next screen
  // show brings a section to the screen; whoever listens hears its heading.
  const show = (name, title) => {
    if (title) document.title = title + " · Where did the money go?";
    const here = name + location.hash;
    if (screen === here) return;
    for (const s of sections) $(s).hidden = s !== name;
    $("nav").hidden = name === "sign-in";
    for (const a of document.querySelectorAll("nav a")) {
      if (a.hash === "#" + name) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    }
    if (screen) {
      scrollTo(0, 0);
      $(name).querySelector("h1").focus({preventScroll: true});
    }
    screen = here;
  };
  const route = async () => {
    clear();
    say("");
    tell($("note"), news);
    news = "";
    if (config.signIn && !token()) { door(); return; }
    $("nav").hidden = false;
    const id = /^#case=([0-9a-v]{36})$/.exec(location.hash)?.[1];
    try {
      if (id) {
        shown = listed = undefined;
        await follow(id);
      } else if (location.hash === "#cases") {
        await list("");
      } else {
        watch++;
        show("new", "New case");
      }
    } catch (e) {
      fail(e);
    }
  };

  const start = async () => {
    try {
      config = await api("GET", "/config.json");
      fill($("chain"), ...(config.chains || []).map(c => make("option", {value: c.name, selected: c.name === "ethereum"}, c.title)));
      if (config.signIn) await comeBack();
    } catch (e) {
      fail(e);
      if (!config.signIn) {
        $("error").append(make("p", {}, make("button", {type: "button", onclick: () => location.reload()}, "Try again")));
        return;
      }
    }
    const trouble = !$("error").hidden;
    if (token()) {
      greet();
      take();
    }
    addEventListener("hashchange", route);
    if (trouble) door();
    else await route();
  };
  $("skip").addEventListener("click", e => { e.preventDefault(); $("main").focus(); });
  start();
})();
