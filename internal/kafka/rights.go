package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Needs is what a program has to be allowed; empty parts are not asked about.
type Needs struct {
	Topics      []string
	Operations  []kmsg.ACLOperation // on each of the topics that exist
	Transaction string              // a transactional id to write under
	Group       string              // a group to join
}

// Missing asks the brokers what of it this login may not, a line each, without changing anything.
func Missing(ctx context.Context, cl *kgo.Client, n Needs) ([]string, error) {
	missing, err := missingOnTopics(ctx, cl, n.Topics, n.Operations)
	if err == nil && n.Transaction != "" {
		err = mayWriteUnder(ctx, cl, n.Transaction)
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
			missing, err = append(missing, "WRITE on transactional id "+n.Transaction), nil
		}
	}
	if err == nil && n.Group != "" {
		err = mayJoin(ctx, cl, n.Group)
		if errors.Is(err, kerr.GroupAuthorizationFailed) {
			missing, err = append(missing, "READ on group "+n.Group), nil
		}
	}
	return missing, err
}

func missingOnTopics(ctx context.Context, cl *kgo.Client, topics []string, want []kmsg.ACLOperation) ([]string, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("asking what may be done with the topics: %w", err)
	}
	var missing []string
	for _, op := range want {
		for _, topic := range resp.Topics {
			denied := topic.ErrorCode == kerr.TopicAuthorizationFailed.Code
			if denied || topic.ErrorCode == 0 && topic.Topic != nil && !allows(topic.AuthorizedOperations, op) {
				missing = append(missing, fmt.Sprintf("%s on topic %s", op, *topic.Topic))
			}
		}
	}
	return missing, nil
}

// allows reads a set of operations; a broker too old to tell allows everything.
func allows(set int32, op kmsg.ACLOperation) bool {
	return set == math.MinInt32 || set&(1<<op) != 0
}

// mayWriteUnder asks to end a transaction of a producer that never was: the broker looks at the right first, and finds nothing to end.
func mayWriteUnder(ctx context.Context, cl *kgo.Client, id string) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, math.MaxInt64, 0
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
		return err
	}
	return nil // what else it answers says nothing about rights
}

func mayJoin(ctx context.Context, cl *kgo.Client, group string) error {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{group}, true
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("asking what may be done with group %s: %w", group, err)
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); errors.Is(err, kerr.GroupAuthorizationFailed) {
			return err
		}
		if g.ErrorCode == 0 && !allows(g.AuthorizedOperations, kmsg.ACLOperationRead) {
			return kerr.GroupAuthorizationFailed
		}
	}
	return nil
}
