package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"runtime"
)

// show opens a report's page the way the system opens files.
func show(ctx context.Context, dir string) error {
	page, err := filepath.Abs(filepath.Join(dir, "report.html"))
	if err != nil {
		return err
	}
	name, args := "xdg-open", []string{page}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", page}
	}
	if err := exec.CommandContext(ctx, name, args...).Run(); err != nil {
		return usage("the report is written, but %s could not open it; open %s yourself", name, page)
	}
	return nil
}
