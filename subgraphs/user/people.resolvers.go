package user

import (
	"context"

	"github.com/tradesage/tradesage/internal/page"
	"github.com/tradesage/tradesage/internal/user"
	"github.com/tradesage/tradesage/subgraphs/user/generated"
	"github.com/tradesage/tradesage/subgraphs/user/model"
)

func (r *invitationResolver) InvitedBy(ctx context.Context, obj *user.Invitation) (*user.User, error) {
	return userOf(ctx, obj.InvitedByID)
}

func (r *mutationResolver) InviteUser(ctx context.Context, input user.InviteUserInput) (*model.InviteUserPayload, error) {
	made, err := r.users.InviteUser(ctx, input)
	return &model.InviteUserPayload{Invitation: made}, err
}

func (r *mutationResolver) WithdrawInvitation(ctx context.Context, input user.WithdrawInvitationInput) (*model.WithdrawInvitationPayload, error) {
	withdrawn, err := r.users.WithdrawInvitation(ctx, input)
	return &model.WithdrawInvitationPayload{Invitation: withdrawn}, err
}

func (r *mutationResolver) DeactivateUser(ctx context.Context, input user.DeactivateUserInput) (*model.DeactivateUserPayload, error) {
	ended, pending, err := r.users.DeactivateUser(ctx, input)
	return &model.DeactivateUserPayload{User: ended, Pending: pending}, err
}

func (r *queryResolver) Invitations(ctx context.Context, first *int, after *string) (*page.Connection[*user.Invitation], error) {
	return expectInviters(ctx)(r.users.Invitations(ctx, page.Args{First: first, After: after}))
}

func (r *Resolver) Invitation() generated.InvitationResolver { return &invitationResolver{r} }

type invitationResolver struct{ *Resolver }
