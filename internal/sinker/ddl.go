package sinker

import (
	"fmt"
	"io"
	"strings"

	"harveststream/internal/ops"
)

// DDL writes the statements that make a target's tables, for a DBA to run where the sinker may not (S6). They can be run again.
func DDL(target Target, w io.Writer) error {
	tables, err := target.tables()
	if err != nil {
		return ops.Fail(ops.ExitConfig, err)
	}
	list, err := (&catalog{}).missing(target.relations(tables))
	if err != nil {
		return err
	}
	return printStatements(w, list)
}

func printStatements(w io.Writer, list []string) error {
	_, err := io.WriteString(w, strings.Join(append(list, ""), ";\n"))
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
