package auth

import (
	"context"

	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/internal/identity"
)

// The functions here add what the connection tells to what the client wrote.

func fromClient(ctx context.Context, input auth.LoginInput) auth.LoginInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func renewalFrom(ctx context.Context, input auth.RefreshSessionInput) auth.RefreshSessionInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func switchFrom(ctx context.Context, input auth.SwitchTenantInput) auth.SwitchTenantInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func registrationFrom(ctx context.Context, input auth.RegisterInput) auth.RegisterInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func acceptanceFrom(ctx context.Context, input auth.AcceptInvitationInput) auth.AcceptInvitationInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func resetRequestFrom(ctx context.Context, input auth.RequestPasswordResetInput) auth.RequestPasswordResetInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func resetFrom(ctx context.Context, input auth.ResetPasswordInput) auth.ResetPasswordInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func changeFrom(ctx context.Context, input auth.ChangePasswordInput) auth.ChangePasswordInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func confirmationFrom(ctx context.Context, input auth.ConfirmPasswordInput) auth.ConfirmPasswordInput {
	input.UserAgent, input.IP = clientOf(ctx)
	return input
}

func clientOf(ctx context.Context) (userAgent, ip string) {
	client := identity.ClientFrom(ctx)
	return client.UserAgent, client.IP
}
