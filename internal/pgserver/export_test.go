package pgserver

// For tests: the search for programs and the way out where it finds none.
var (
	Fetch    = fetch
	Newest   = newest
	Complete = complete
)
