package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"scamtrace/functions"
	"scamtrace/tracer/devnet"
)

// TestServeFullDisk fills the disk that the server has for itself: it says so,
// loses nothing, and goes on when there is room.
func TestServeFullDisk(t *testing.T) {
	if out, err := exec.Command("unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt").CombinedOutput(); err != nil {
		t.Skipf("this user may not have a disk of its own: %v %s", err, out)
	}
	w := devnet.Generate(devnet.Config{})
	srv := httptest.NewServer(devnet.NewNode(w, devnet.NodeOptions{}))
	t.Cleanup(srv.Close)
	from, id := template(t, w)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A disk of 16 MB, in which next to nothing is free.
	const script = `mount -t tmpfs -o size=16m none "$1" && cp -a "$2" "$1/data" && dd if=/dev/zero of="$1/ballast" bs=64k 2>/dev/null
truncate -s -128K "$1/ballast"; exec "$3" serve --addr 127.0.0.1:0 --data "$1/data" --rpc devnet="$4"`
	r := runServer(t, exec.Command("unshare", "-m", "sh", "-c", script, "sh", dir, from, built(t), srv.URL))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !strings.Contains(r.logs.String(), "the disk is full"); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("nobody says that the disk is full: %s", r.logs)
		}
	}
	var v functions.CaseView
	if code := r.get("/v1/cases/"+id, &v); code != http.StatusOK || v.Status == functions.StatusDone || v.Status == functions.StatusFailed {
		t.Errorf("on a full disk the case is %s (%d): %s", v.Status, code, v.Reason)
	}
	// Seen from outside, the disk is below the process's root.
	if err := os.Remove(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "root", dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if v, _ = r.until(id); v.Status != functions.StatusDone {
		t.Errorf("with room again the case is %s: %s", v.Status, v.Reason)
	}
}
