// Package harvest reads the Harvest REST API v2: it knows HTTP, the API's limits, errors and paging, but no streams,
// no Avro and no Kafka. It is read-only: the only method it sends is GET.
//
// [Client.Do] sends one request within the budget of [Config.Limit] and hands the answer's body to a decoder;
// [ReadPage] and [ReadObject] are the strict readers of the two shapes answers have; [Client.Pages] follows a list to
// its end. What an answer claims is checked before it is believed: origin of links, size, completeness, envelope.
package harvest
