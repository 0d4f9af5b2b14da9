package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// All messages are Any: the type URL carries a word, the value bytes.
type message = anypb.Any

func word(text string) *message { return &message{TypeUrl: text} }

func unary(handle func(context.Context, *message) (*message, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
		request := &message{}
		if err := unmarshal(request); err != nil {
			return nil, err
		}
		return handle(ctx, request)
	}
}

func description() *ttrpc.ServiceDesc {
	return &ttrpc.ServiceDesc{
		Methods: map[string]ttrpc.Method{
			"Echo":     unary(func(_ context.Context, request *message) (*message, error) { return request, nil }),
			"Blob":     unary(blob),
			"Fail":     unary(fail),
			"Sleep":    unary(sleep),
			"Metadata": unary(metadata),
			"Deadline": unary(deadline),
		},
		Streams: map[string]ttrpc.Stream{
			"Join":  {Handler: join, StreamingClient: true},
			"Count": {Handler: count, StreamingServer: true},
			"Chat":  {Handler: chat, StreamingClient: true, StreamingServer: true},
		},
	}
}

// blob answers with as many bytes as the word says.
func blob(_ context.Context, request *message) (*message, error) {
	size, err := strconv.Atoi(request.TypeUrl)
	if err != nil {
		return nil, err
	}
	return &message{Value: bytes.Repeat([]byte{7}, size)}, nil
}

// fail answers with the code of the word, with the request as a detail; or with a plain error.
func fail(_ context.Context, request *message) (*message, error) {
	code, err := strconv.Atoi(request.TypeUrl)
	if err != nil {
		return nil, errors.New("plain words")
	}
	with, err := status.New(codes.Code(code), "failed as asked").WithDetails(request)
	if err != nil {
		return nil, err
	}
	return nil, with.Err()
}

// sleep takes the milliseconds that the word says, or until the call's deadline.
func sleep(ctx context.Context, request *message) (*message, error) {
	ms, err := strconv.Atoi(request.TypeUrl)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return request, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func metadata(ctx context.Context, request *message) (*message, error) {
	all, _ := ttrpc.GetMetadata(ctx)
	values, _ := all.Get(request.TypeUrl)
	return word(strings.Join(values, ",")), nil
}

// deadline answers with the whole seconds that are left, or "none".
func deadline(ctx context.Context, _ *message) (*message, error) {
	at, has := ctx.Deadline()
	if !has {
		return word("none"), nil
	}
	return word(strconv.Itoa(int(time.Until(at).Round(time.Second).Seconds()))), nil
}

func join(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	var words []string
	for {
		request := &message{}
		err := stream.RecvMsg(request)
		if err == io.EOF {
			return word(strings.Join(words, "+")), nil
		}
		if err != nil {
			return nil, err
		}
		words = append(words, request.TypeUrl)
	}
}

// count sends 1 … word; a value is the message of an error at the end.
func count(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	request := &message{}
	if err := stream.RecvMsg(request); err != nil {
		return nil, err
	}
	to, err := strconv.Atoi(request.TypeUrl)
	if err != nil {
		return nil, err
	}
	for i := 1; i <= to; i++ {
		if err := stream.SendMsg(word(strconv.Itoa(i))); err != nil {
			return nil, err
		}
	}
	if len(request.Value) > 0 {
		return nil, status.Error(codes.Aborted, string(request.Value))
	}
	return nil, nil
}

// chat answers each word in capitals; "stop" ends the stream, "fail" with an error.
func chat(_ context.Context, stream ttrpc.StreamServer) (interface{}, error) {
	for {
		request := &message{}
		err := stream.RecvMsg(request)
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch request.TypeUrl {
		case "stop":
			return nil, nil
		case "fail":
			return nil, fmt.Errorf("chat failed as asked")
		}
		answer := &message{TypeUrl: strings.ToUpper(request.TypeUrl), Value: request.Value}
		if err := stream.SendMsg(answer); err != nil {
			return nil, err
		}
	}
}
