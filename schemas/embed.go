// Package schemas embeds the Avro schema of every stream: the contract of topics and tables (docs/DESIGN.md, §4).
package schemas

import "embed"

// FS holds one file <stream>.avsc per stream and nothing else.
//
//go:embed *.avsc
var FS embed.FS
