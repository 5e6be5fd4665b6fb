package main

import (
	"context"
	"errors"
)

type stack struct{}

func (*stack) close() error                                            { return nil }
func openStack(context.Context, options) (*stack, error)               { return nil, errors.New("todo") }
func measureMe(context.Context, options, *stack) ([]figure, error)      { return nil, nil }
func measureLogin(context.Context, options, *stack) ([]figure, error)   { return nil, nil }
func measureTenants(context.Context, options, *stack) ([]figure, error) { return nil, nil }
func measureFleet(context.Context, options, *stack) ([]figure, error)   { return nil, nil }
