package auth

import (
	"context"

	"github.com/tradesage/tradesage/internal/auth"
	"github.com/tradesage/tradesage/subgraphs/auth/generated"
	"github.com/tradesage/tradesage/subgraphs/auth/model"
)

func (r *mutationResolver) Login(ctx context.Context, input auth.LoginInput) (*model.LoginPayload, error) {
	result, err := r.auth.Login(ctx, input)
	if err != nil {
		return nil, err
	}
	return loginPayload(result), nil
}

func (r *mutationResolver) RefreshSession(ctx context.Context, input auth.RefreshSessionInput) (*model.RefreshSessionPayload, error) {
	tokens, err := r.auth.RefreshSession(ctx, input)
	if err != nil {
		return nil, err
	}
	return refreshPayload(tokens), nil
}

func (r *mutationResolver) SwitchTenant(ctx context.Context, input auth.SwitchTenantInput) (*model.SwitchTenantPayload, error) {
	tokens, err := r.auth.SwitchTenant(ctx, input)
	if err != nil {
		return nil, err
	}
	return switchPayload(tokens), nil
}

func (r *mutationResolver) Register(ctx context.Context, input auth.RegisterInput) (*model.RegisterPayload, error) {
	if err := r.auth.Register(ctx, input); err != nil {
		return nil, err
	}
	return &model.RegisterPayload{VerificationSent: true}, nil
}

func (r *mutationResolver) VerifyEmail(ctx context.Context, input model.VerifyEmailInput) (*model.VerifyEmailPayload, error) {
	verified, err := r.auth.VerifyEmail(ctx, input.Code)
	if err != nil {
		return nil, err
	}
	return &model.VerifyEmailPayload{Verified: true, Tenant: verified.Tenant}, nil
}

func (r *mutationResolver) AcceptInvitation(ctx context.Context, input auth.AcceptInvitationInput) (*model.AcceptInvitationPayload, error) {
	joined, err := r.auth.AcceptInvitation(ctx, input)
	if err != nil {
		return nil, err
	}
	return &model.AcceptInvitationPayload{Tenant: joined}, nil
}

func (r *mutationResolver) RequestPasswordReset(ctx context.Context, input auth.RequestPasswordResetInput) (*model.RequestPasswordResetPayload, error) {
	if err := r.auth.RequestPasswordReset(ctx, input); err != nil {
		return nil, err
	}
	return &model.RequestPasswordResetPayload{ResetSent: true}, nil
}

func (r *mutationResolver) ResetPassword(ctx context.Context, input auth.ResetPasswordInput) (*model.ResetPasswordPayload, error) {
	ended, pending, err := r.auth.ResetPassword(ctx, input)
	if err != nil {
		return nil, err
	}
	return &model.ResetPasswordPayload{SessionsEnded: ended, Pending: pending}, nil
}

func (r *mutationResolver) ChangePassword(ctx context.Context, input auth.ChangePasswordInput) (*model.ChangePasswordPayload, error) {
	ended, pending, err := r.auth.ChangePassword(ctx, input)
	if err != nil {
		return nil, err
	}
	return &model.ChangePasswordPayload{SessionsEnded: ended, Pending: pending}, nil
}

func (r *mutationResolver) ConfirmPassword(ctx context.Context, input auth.ConfirmPasswordInput) (*model.ConfirmPasswordPayload, error) {
	confirmed, err := r.auth.ConfirmPassword(ctx, input)
	if err != nil {
		return nil, err
	}
	return &model.ConfirmPasswordPayload{AccessToken: confirmed.AccessToken, ExpiresIn: seconds(confirmed.ExpiresIn)}, nil
}

func (r *mutationResolver) Logout(ctx context.Context) (*model.LogoutPayload, error) {
	pending, err := r.auth.Logout(ctx)
	if err != nil {
		return nil, err
	}
	return &model.LogoutPayload{Revoked: true, Pending: pending}, nil
}

func (r *tenantChoicesResolver) ExpiresIn(ctx context.Context, obj *auth.TenantChoices) (int, error) {
	return seconds(obj.ExpiresIn), nil
}

func (r *Resolver) Mutation() generated.MutationResolver { return &mutationResolver{r} }

func (r *Resolver) TenantChoices() generated.TenantChoicesResolver { return &tenantChoicesResolver{r} }

type (
	mutationResolver      struct{ *Resolver }
	tenantChoicesResolver struct{ *Resolver }
)
