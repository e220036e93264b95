/**
 * Knows: the executable schema, what a query may cost, and how errors leave: with a code of the closed set, mapped here and
 * nowhere else. Serves it over HTTP (Apollo) and WebSocket (graphql-ws).
 */

import { readFileSync } from 'node:fs';
import type { Server as HttpServer } from 'node:http';
import { createRequire } from 'node:module';
import { ApolloServer } from '@apollo/server';
import { ApolloServerErrorCode, unwrapResolverError } from '@apollo/server/errors';
import { ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { type ErrorCode, isErrorCode, TugError } from '@tug/schema';
import { GraphQLError, type GraphQLFormattedError, type GraphQLSchema, parse, specifiedRules, validate } from 'graphql';
import type { Disposable } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import type { Logger } from 'pino';
import type { WebSocketServer } from 'ws';
import type { Context } from './context.js';
import type { Resolvers } from './generated/resolvers.js';
import { limitRules, MAX_TOKENS } from './query-limits.js';
import { Mutation } from './resolvers/mutation.js';
import { Query } from './resolvers/query.js';
import { Subscription } from './resolvers/subscription.js';
import { Candidate, Canvas, CanvasEvent, DateTime, Edit, Node, Revision, ShareLink } from './resolvers/types.js';

const APOLLO_CODES: Record<string, ErrorCode> = {
  [ApolloServerErrorCode.GRAPHQL_PARSE_FAILED]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.GRAPHQL_VALIDATION_FAILED]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.BAD_USER_INPUT]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.BAD_REQUEST]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.OPERATION_RESOLUTION_FAILURE]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.PERSISTED_QUERY_NOT_FOUND]: 'BAD_USER_INPUT',
  [ApolloServerErrorCode.PERSISTED_QUERY_NOT_SUPPORTED]: 'BAD_USER_INPUT',
};

/** The schema that is served. */
export function createSchema(): GraphQLSchema {
  const path = createRequire(import.meta.url).resolve('@tug/schema/schema.graphql');
  const resolvers: Resolvers = {
    Query,
    Mutation,
    Subscription,
    Canvas,
    CanvasEvent,
    Candidate,
    DateTime,
    Edit,
    Node,
    Revision,
    ShareLink,
  };
  return makeExecutableSchema({ typeDefs: readFileSync(path, 'utf8'), resolvers });
}

/** Apollo over HTTP. */
export function createApollo(schema: GraphQLSchema, server: HttpServer, log: Logger): ApolloServer<Context> {
  return new ApolloServer<Context>({
    schema,
    introspection: true,
    csrfPrevention: true,
    includeStacktraceInErrorResponses: false,
    allowBatchedHttpRequests: false,
    validationRules: limitRules,
    parseOptions: { maxTokens: MAX_TOKENS },
    persistedQueries: false,
    stopOnTerminationSignals: false,
    plugins: [
      ApolloServerPluginDrainHttpServer({ httpServer: server, stopGracePeriodMillis: 1_000 }),
      ApolloServerPluginLandingPageDisabled(),
    ],
    formatError: (formatted, error) => publicError(formatted, error, log),
    logger: {
      debug: () => undefined,
      info: () => undefined,
      warn: (text) => log.warn(text),
      error: (text) => log.error(text),
    },
  });
}

/** graphql-ws on sockets that were upgraded for it; the context is made once for each connection. */
export function serveGraphqlSockets(
  schema: GraphQLSchema,
  sockets: WebSocketServer,
  contextOf: (token: string | null, request: import('node:http').IncomingMessage) => Promise<Context>,
  log: Logger,
): Disposable {
  return useServer<{ token?: unknown }, { context?: Promise<Context> }>(
    {
      schema,
      parse: (source, options) => parse(source, { ...options, maxTokens: MAX_TOKENS }),
      validate: (against, document) => validate(against, document, [...specifiedRules, ...limitRules]),
      context: ({ extra, connectionParams }) => {
        const token = typeof connectionParams?.token === 'string' ? connectionParams.token : null;
        extra.context ??= contextOf(token, extra.request);
        return extra.context;
      },
      onNext: (_socket, _id, _payload, _args, result) =>
        result.errors && { data: result.data ?? null, errors: result.errors.map((error) => toPublic(error, log)) },
      onError: (_socket, _id, _payload, errors) => errors.map((error) => toPublic(error, log)),
    },
    sockets,
    20_000,
  );
}

function toPublic(error: GraphQLError | GraphQLFormattedError, log: Logger): GraphQLFormattedError {
  return publicError(error instanceof GraphQLError ? error.toJSON() : error, error, log);
}

/** What a client sees of an error: a TugError as it is, a mistake in the query with its reason, and of anything else nothing. */
function publicError(formatted: GraphQLFormattedError, error: unknown, log: Logger): GraphQLFormattedError {
  const { locations, path } = formatted;
  const where = { ...(locations && { locations }), ...(path && { path }) };
  const unwrapped = unwrapResolverError(error);
  const original = unwrapped instanceof GraphQLError ? (unwrapped.originalError ?? unwrapped) : unwrapped;
  if (original instanceof TugError) return { message: original.message, ...where, extensions: { code: original.code } };
  const code = codeOf(formatted, original);
  if (code !== 'INTERNAL_SERVER_ERROR') return { message: formatted.message, ...where, extensions: { code } };
  log.error({ err: original }, 'a GraphQL operation failed');
  return { message: 'Something went wrong on the server.', ...where, extensions: { code } };
}

function codeOf(formatted: GraphQLFormattedError, original: unknown): ErrorCode {
  if (/more tha[nt] \d+ tokens/.test(formatted.message)) return 'QUERY_TOO_COMPLEX';
  const given = formatted.extensions?.code;
  if (isErrorCode(given) && given !== 'INTERNAL_SERVER_ERROR') return given;
  if (typeof given === 'string' && given in APOLLO_CODES) return APOLLO_CODES[given] ?? 'INTERNAL_SERVER_ERROR';
  // graphql-js' own errors, over WebSocket: a query that is not valid, or a value that does not fit its type
  const queryMistake =
    original instanceof GraphQLError && original.originalError === undefined && original.path === undefined;
  return queryMistake && given === undefined ? 'BAD_USER_INPUT' : 'INTERNAL_SERVER_ERROR';
}
