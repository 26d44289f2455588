package producer

// SetHost makes this process another machine's, "" its own again.
func SetHost(name string) {
	host = hostname
	if name != "" {
		host = func() string { return name }
	}
}
