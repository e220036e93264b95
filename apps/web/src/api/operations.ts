/** Every GraphQL document that the page sends. `npm run generate` types them from the contract. */

import { graphql } from '@/generated';

graphql(`
  fragment PersonParts on User { id name color }
`);

graphql(`
  fragment RevisionParts on Revision {
    id url thumbnailUrl createdAt
    createdBy { ...PersonParts }
    parent { id }
    edit { id seed }
  }
`);

graphql(`
  fragment EditParts on Edit {
    id status step totalSteps seed bundle device createdAt warnings maskUrl
    base { id }
    drags { handle { x y } target { x y } }
    candidates { index url seed }
    error { code message }
    requestedBy { ...PersonParts }
    timings { queuedMs runningMs firstPreviewMs }
  }
`);

graphql(`
  fragment CanvasParts on Canvas {
    id title width height role createdAt
    head { ...RevisionParts }
    revisions { ...RevisionParts }
  }
`);

export const Viewer = graphql(`
  query Viewer { viewer { ...PersonParts } }
`);

export const SignInAsGuest = graphql(`
  mutation SignInAsGuest($name: String!) {
    signInAsGuest(input: { name: $name }) { token user { ...PersonParts } }
  }
`);

export const MyCanvases = graphql(`
  query MyCanvases($first: Int!, $after: String) {
    canvases(first: $first, after: $after) {
      edges { cursor node { id title width height role createdAt head { id thumbnailUrl createdAt } } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const CreateCanvas = graphql(`
  mutation CreateCanvas($fileId: ID!, $title: String) {
    createCanvas(input: { fileId: $fileId, title: $title }) { canvas { id } }
  }
`);

export const RenameCanvas = graphql(`
  mutation RenameCanvas($canvasId: ID!, $title: String!) {
    renameCanvas(input: { canvasId: $canvasId, title: $title }) { canvas { id title } }
  }
`);

export const DeleteCanvas = graphql(`
  mutation DeleteCanvas($canvasId: ID!) {
    deleteCanvas(input: { canvasId: $canvasId }) { canvasId }
  }
`);

export const OpenCanvas = graphql(`
  query OpenCanvas($id: ID!) {
    canvas(id: $id) { ...CanvasParts }
    engine {
      device deviceReason precision maxDrags maxPixels maxCandidates
      bundles { name title license defaultSteps steps guidance }
    }
  }
`);

export const RecentEdits = graphql(`
  query RecentEdits($id: ID!) {
    canvas(id: $id) { id edits(first: 8) { edges { node { ...EditParts } } } }
  }
`);

export const CanvasEvents = graphql(`
  subscription CanvasEvents($canvasId: ID!) {
    canvasEvents(canvasId: $canvasId) {
      __typename
      ... on CanvasSnapshot {
        seq
        canvas { ...CanvasParts }
        activeEdits { ...EditParts }
      }
      ... on EditQueued { seq position edit { ...EditParts } }
      ... on EditStarted { seq edit { ...EditParts } }
      ... on EditPreview { editId candidate step totalSteps image }
      ... on EditCandidate { seq editId result: candidate { index url seed } }
      ... on EditFinished { seq edit { ...EditParts } }
      ... on HeadChanged { seq canvasId head { ...RevisionParts } }
    }
  }
`);

export const StartEdit = graphql(`
  mutation StartEdit($input: StartEditInput!) {
    startEdit(input: $input) { edit { ...EditParts } }
  }
`);

export const CancelEdit = graphql(`
  mutation CancelEdit($editId: ID!) {
    cancelEdit(input: { editId: $editId }) { edit { ...EditParts } }
  }
`);

export const AcceptCandidate = graphql(`
  mutation AcceptCandidate($editId: ID!, $index: Int!, $expectedHeadId: ID) {
    acceptCandidate(input: { editId: $editId, index: $index, expectedHeadId: $expectedHeadId }) {
      canvas { id head { ...RevisionParts } }
    }
  }
`);

export const RestoreRevision = graphql(`
  mutation RestoreRevision($canvasId: ID!, $revisionId: ID!, $expectedHeadId: ID) {
    restoreRevision(input: { canvasId: $canvasId, revisionId: $revisionId, expectedHeadId: $expectedHeadId }) {
      canvas { id head { ...RevisionParts } }
    }
  }
`);

export const ShareLinks = graphql(`
  query ShareLinks($id: ID!) {
    canvas(id: $id) { id role shareLinks { id url role expiresAt } }
  }
`);

export const CreateShareLink = graphql(`
  mutation CreateShareLink($canvasId: ID!, $role: Role!) {
    createShareLink(input: { canvasId: $canvasId, role: $role }) { shareLink { id url role expiresAt } token }
  }
`);

export const RevokeShareLink = graphql(`
  mutation RevokeShareLink($shareLinkId: ID!) {
    revokeShareLink(input: { shareLinkId: $shareLinkId }) { canvas { id shareLinks { id url role expiresAt } } }
  }
`);

export const RedeemShareLink = graphql(`
  mutation RedeemShareLink($token: String!) {
    redeemShareLink(input: { token: $token }) { canvas { id title } }
  }
`);
