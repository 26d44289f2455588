// Package harvesttest is a faithful simulator of the Harvest API v2: an http.Handler over a seeded, believable account
// of any size that can be changed, made to misbehave, and asked for the truth.
//
// It keeps every row as a small immutable record of tagged words, embeds the names of parents when an answer is built
// (so a rename shows everywhere without touching updated_at), and logs every change; the log is what lagging replicas,
// incremental reads and the truth history are answered from. It starts no goroutine, ranges over no map where anything
// leaves or a random number is drawn, and reads the clock only through Options.Now, so it lives in synctest bubbles and
// one seed is one account, byte for byte.
//
// Where the documentation leaves something open, an option decides; the zero value is the documented or likelier case.
// Reports answer with empty results: only their rate limit is simulated.
package harvesttest
