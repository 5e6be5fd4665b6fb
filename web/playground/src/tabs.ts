import type { GraphiQLProps } from 'graphiql';

type TabDefinition = NonNullable<GraphiQLProps['defaultTabs']>[number];

/** The tabs of the first visit. */
export const defaultTabs: TabDefinition[] = [
  {
    query: `# Sign in at the right, then press Ctrl-Enter.
query Me {
  me {
    id
    email
    tenant { id name }
    sessions(first: 5) {
      edges {
        node { id device { name } current lastSeenAt }
      }
    }
  }
}
`,
  },
  {
    query: `# What the panel at the right does for you. Write e-mail and
# password into the variables below: the page does not keep them.
mutation Login($input: LoginInput!) {
  login(input: $input) {
    accessToken
    expiresIn
    user { id email }
  }
}
`,
    variables: `{
  "input": {
    "email": "",
    "password": ""
  }
}
`,
  },
  {
    query: `# Changes your own profile. What is left out stays as it is.
mutation UpdateProfile($input: UpdateProfileInput!) {
  updateProfile(input: $input) {
    user { displayName locale timeZone updatedAt }
  }
}
`,
    variables: `{
  "input": {
    "displayName": "Ada",
    "timeZone": "Europe/London"
  }
}
`,
  },
  {
    query: `# What is done in the tenant, as it happens.
# Run it, then do something in another window.
subscription Activity {
  activityEvents {
    at
    kind
    action
    target
    actor { email }
    cursor
  }
}
`,
  },
];
