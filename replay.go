package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"scamtrace/functions"
	"scamtrace/functions/nodes"
	"scamtrace/tracer"
	"scamtrace/tracer/devnet"
	"scamtrace/tracer/evidence"
	"scamtrace/tracer/ledger"
	"scamtrace/tracer/report"
	"scamtrace/tracer/walk"

	"github.com/spf13/cobra"
)

// evidenceName is the file of a bundle with what its report rests on.
const evidenceName = "evidence.zst"

// A rerun is what it takes to trace the same again, beside the evidence, the
// labels and the prices.
type rerun struct {
	Chain     uint64              `json:"chain"`
	Seeds     []string            `json:"seeds"`
	Policy    string              `json:"policy"`
	Since     uint64              `json:"since,omitempty"`
	Until     uint64              `json:"until,omitempty"`
	Limits    walk.Limits         `json:"limits"`
	Unseen    bool                `json:"unseen,omitempty"`
	Prove     bool                `json:"prove,omitempty"`
	Agree     bool                `json:"agree,omitempty"`
	Reference string              `json:"reference,omitempty"`
	Source    string              `json:"source"`
	Endpoints bool                `json:"endpoints,omitempty"` // the report names them
	Asked     []evidence.Endpoint `json:"asked,omitempty"`     // as the source says
}

// evidence writes down what the report rests on.
func (j *job) evidence() (report.NamedFile, error) {
	run := rerun{Chain: j.chain.ID, Policy: j.policy.String(), Since: j.since, Until: j.until, Limits: j.limits, Unseen: j.unseen, Prove: j.prove, Agree: j.agree,
		Reference: j.reference, Source: j.about, Endpoints: len(j.endpoints) > 0}
	if p, ok := j.source.(interface{ Asked() []evidence.Endpoint }); ok {
		run.Asked = p.Asked()
	}
	for _, s := range j.seeds {
		run.Seeds = append(run.Seeds, s.Show(j.chain.ID))
	}
	var b bytes.Buffer
	err := j.recorder.Write(&b, run)
	return report.NamedFile{Name: evidenceName, Data: b.Bytes()}, err
}

// job is the trace that was recorded, without its source, labels and prices.
func (r *rerun) job() (*job, error) {
	j := &job{since: r.Since, until: r.Until, limits: r.Limits, unseen: r.Unseen, prove: r.Prove, agree: r.Agree, reference: r.Reference, maxGap: -1}
	ok := true
	if j.chain, ok = tracer.ChainByID(r.Chain); r.Chain == devnet.ChainID {
		j.chain = devnet.Chain()
	} else if !ok {
		var err error
		if j.chain, err = tracer.ChainNamed(fmt.Sprint(r.Chain)); err != nil {
			return nil, err
		}
	}
	var err error
	if j.policy, err = ledger.ParsePolicy(r.Policy); err != nil {
		return nil, err
	}
	j.seeds, err = readSeeds(&j.chain, r.Seeds)
	return j, err
}

// know gives a job the labels and the prices of a report, from the same files
// that its trace was given.
func (j *job) know(p *report.Parameters, labelFiles, priceFiles []string) error {
	labels, notes, err := readLabels(j.chain, labelFiles)
	if err != nil {
		return err
	}
	prices, err := readPrices(j.chain, priceFiles)
	if err != nil {
		return err
	}
	if j.chain.ID == devnet.ChainID && len(labelFiles)+len(priceFiles) == 0 && labels.SHA256() != p.Labels.SHA256 { // the demo's
		demo, err := demoJob(devnet.Generate(devnet.Config{}))
		if err != nil {
			return err
		}
		labels, prices, notes = demo.labels, demo.prices, nil
	}
	if labels.SHA256() != p.Labels.SHA256 {
		return usage("the report was made with %d labels (SHA-256 %s), and these %d are others (%s); name the same files with --labels",
			p.Labels.Count, p.Labels.SHA256, labels.Len(), labels.SHA256())
	}
	if prices.SHA256() != p.Prices.SHA256 {
		return usage("the report was made with other prices (SHA-256 %s, and these have %s); name the same files with --prices", p.Prices.SHA256, prices.SHA256())
	}
	j.labels, j.prices, j.notes = labels, prices, notes
	return nil
}

// errNotRecorded is why a trace cannot be run again.
var errNotRecorded = errors.New("the recording lacks what the trace asks for")

// openEvidence opens what the report in a folder rests on.
func openEvidence(dir string) (raw []byte, node *evidence.Node, run rerun, err error) {
	raw, err = os.ReadFile(filepath.Join(dir, evidenceName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, run, usage("the report has no %s: one from the page of serve has its evidence apart, so name its evidence.zip too; others without were made from files, or with --record=false", evidenceName)
	} else if err != nil {
		return nil, nil, run, err
	}
	if node, err = evidence.Open(bytes.NewReader(raw)); err != nil {
		return nil, nil, run, fmt.Errorf("%s: %w", evidenceName, err)
	}
	if err := json.Unmarshal(node.Run(), &run); err != nil {
		node.Close()
		return nil, nil, run, fmt.Errorf("%s does not say what was traced: %w", evidenceName, err)
	}
	return raw, node, run, nil
}

// replay traces again from the evidence of a bundle, and returns the files that
// it comes to.
func replay(ctx context.Context, dir string, m *report.Manifest, labelFiles, priceFiles []string, stderr io.Writer) ([]report.NamedFile, error) {
	raw, node, run, err := openEvidence(dir)
	if err != nil {
		return nil, err
	}
	defer node.Close()
	j, err := run.job()
	if err != nil {
		return nil, err
	}
	if name := filepath.Join(dir, pricesName); slices.ContainsFunc(m.Files, func(f report.File) bool { return f.Name == pricesName }) {
		priceFiles = []string{name} // with those that the trace was given
	}
	if err := j.know(&m.Parameters, labelFiles, priceFiles); err != nil {
		return nil, err
	}
	j.version = m.Tool.Version
	src, err := nodes.Reopen(ctx, j.chain, node, nil, run.Asked)
	if err == nil {
		known := j.notes
		j.read(src)
		j.notes, j.about = append(j.notes, known...), run.Source
		if !run.Endpoints {
			j.endpoints = nil
		}
		var r *report.Report
		if _, r, err = j.trace(ctx, stderr); err == nil && len(node.Missing()) == 0 {
			others := []report.NamedFile{{Name: evidenceName, Data: raw}}
			if f, ok := j.priceFile(); ok {
				others = append(others, f)
			}
			return report.Bundle(ctx, r, nil, others...)
		}
	}
	if missing := node.Missing(); len(missing) > 0 {
		return nil, fmt.Errorf("%w: %s", errNotRecorded, strings.Join(missing, "; "))
	}
	return nil, err
}

// unproven asks, for each transfer of a report, why it is not proven.
func (j *job) unproven(ctx context.Context, r *report.Report) ([]string, error) {
	ts, err := r.Cited()
	if err != nil {
		return nil, err
	}
	src, ok := tracer.As[interface {
		Prove(context.Context, []tracer.Transfer) ([]string, error)
	}](j.source)
	if !ok {
		return nil, usage("the source cannot prove transfers")
	}
	return src.Prove(ctx, ts)
}

// proveAgain proves the transfers that a report says are proven once more, from
// its evidence alone.
func proveAgain(ctx context.Context, dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return err
	}
	var r report.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	_, node, run, err := openEvidence(dir)
	if err != nil {
		return err
	}
	defer node.Close()
	j, err := run.job()
	if err != nil {
		return err
	}
	j.source, err = nodes.Reopen(ctx, j.chain, node, nil, run.Asked)
	if err != nil {
		return err
	}
	if pin, err := j.source.Pin(ctx); err != nil || len(r.Chains) != 1 || pin.Number != r.Chains[0].Pinned.Number || pin.Hash.Hex() != r.Chains[0].Pinned.Hash {
		return fmt.Errorf("%s is of another block than the report: %w", evidenceName, errors.Join(err, errNotRecorded))
	}
	r.Transfers = slices.DeleteFunc(r.Transfers, func(t report.Transfer) bool { return !t.Verified })
	why, err := j.unproven(ctx, &r)
	if err != nil {
		return err
	}
	for i, w := range why {
		if w != "" {
			return fmt.Errorf("a transfer of transaction %s is marked as proven, and it is not: %s", r.Transfers[i].Tx, w)
		}
	}
	return nil
}

// replayCase traces a case again from the evidence of one of its reports.
func replayCase(ctx context.Context, name, version string) (*functions.Replayed, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, usage("%s is not evidence that can be read", name)
	}
	defer z.Close()
	return functions.Replay(ctx, &z.Reader, version, nodes.Reopen)
}

func replayCommand() *cobra.Command {
	var labelFiles, prices []string
	cmd := &cobra.Command{
		Use:   "replay REPORT [EVIDENCE]",
		Short: "Trace again from a report's own evidence and compare every byte",
		Long: "Replay checks a report as verify does, then runs its trace again, without the network, from the answers of\n" +
			"the node that the report holds, and compares every file with what that comes to. Labels and prices that the\n" +
			"trace was given as files are not in the report; name them again. A report from the page of serve has its\n" +
			"evidence apart, with labels and prices: name that file, evidence.zip, as EVIDENCE.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usage("name the folder of a report or its bundle.zip, and its evidence.zip if it has one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if strings.HasSuffix(dir, ".zip") {
				var err error
				if dir, err = unpack(dir); err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			v, err := report.Verify(dir, nil)
			if err != nil {
				return err
			}
			var files []report.NamedFile
			said := "The trace was run again from what the node answered"
			if len(args) == 2 {
				var again *functions.Replayed
				if again, err = replayCase(cmd.Context(), args[1], v.Manifest.Tool.Version); err == nil {
					files, said = again.Files, "The trace was run again from what the node answered"
					if again.Turns != 1 {
						said = fmt.Sprintf("The trace was run again, in %d turns, from what the node answered", again.Turns)
					}
				}
				if err == nil && again.Cut > 0 {
					said = fmt.Sprintf("%s (what %d of them had read when the time was up was taken as they saved it)", said, again.Cut)
				}
			} else {
				files, err = replay(cmd.Context(), dir, &v.Manifest, labelFiles, prices, cmd.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			var differ []string
			for _, f := range files {
				was, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
				if err != nil || !bytes.Equal(was, f.Data) {
					differ = append(differ, f.Name)
				}
			}
			if len(differ) > 0 {
				return fmt.Errorf("the trace comes to another report than this one: %s differs, and %d more of %d files; it was made by version %s, and this is %s",
					differ[0], len(differ)-1, len(files), v.Manifest.Tool.Version, version())
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s, and all %d files are the same to the byte.\n", said, len(files))
			return nil
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&labelFiles, "labels", nil, "the TagPack or CSV `FILE`s of labels that the trace was given")
	fs.StringSliceVar(&prices, "prices", nil, "the CSV `FILE`s of prices that the trace was given")
	return cmd
}
