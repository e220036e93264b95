/** Knows: what a query may cost beyond being valid — depth, aliases, directives, and how many things it can bring back. */

import { ApolloArmor } from '@escape.tech/graphql-armor';
import { TugError } from '@tug/schema';
import {
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLOutputType,
  getNamedType,
  isCompositeType,
  isInterfaceType,
  isObjectType,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
  type ValidationRule,
} from 'graphql';

/** Tokens of a document, given to the parser; some hundred drags written out fit. */
export const MAX_TOKENS = 20_000;

const MAX_THINGS = 20_000;
const MAX_FIRST = 100;

/** How long the lists without paging are thought to be. */
const USUAL_LENGTH: Record<string, number> = { revisions: 50, shareLinks: 10, candidates: 4, activeEdits: 8 };

const reject = {
  propagateOnRejection: false,
  onReject: [
    (context: ValidationContext | null, error: GraphQLError) => context?.reportError(tooComplex(error.message)),
  ],
};

const armor = new ApolloArmor({
  maxDepth: { n: 14, ...reject },
  maxAliases: { n: 30, ...reject },
  maxDirectives: { n: 30, ...reject },
  costLimit: { enabled: false },
  blockFieldSuggestion: { enabled: false },
  maxTokens: { enabled: false },
}).protect();

/** Rules beside graphql-js' own. */
export const limitRules: ValidationRule[] = [...armor.validationRules, countThings];

/**
 * Counts the objects that an operation could bring back, lists in lists multiplied. A page's size given by a variable counts as the
 * largest allowed.
 */
function countThings(context: ValidationContext): ReturnType<ValidationRule> {
  return {
    OperationDefinition(operation) {
      const root = context.getSchema().getRootType(operation.operation);
      if (!root) return;
      const things = thingsIn(context, operation.selectionSet, root, 1, new Set());
      if (things > MAX_THINGS) {
        context.reportError(
          tooComplex(
            `This could bring back ${things} things or more, and ${MAX_THINGS} are allowed: ask for shorter pages.`,
          ),
        );
      }
    },
  };
}

function thingsIn(
  context: ValidationContext,
  { selections }: SelectionSetNode,
  parent: GraphQLOutputType,
  times: number,
  open: ReadonlySet<FragmentDefinitionNode>,
): number {
  let sum = 0;
  for (const selection of selections) {
    if (sum > MAX_THINGS) return sum;
    if (selection.kind === Kind.FIELD) {
      if (selection.selectionSet === undefined || !(isObjectType(parent) || isInterfaceType(parent))) continue;
      const field = parent.getFields()[selection.name.value];
      if (field === undefined) continue;
      const first = selection.arguments?.find((argument) => argument.name.value === 'first')?.value;
      const given = first?.kind === Kind.INT ? Number(first.value) : MAX_FIRST;
      const page = field.args.some((argument) => argument.name === 'first') ? (first === undefined ? 20 : given) : 1;
      const many = times * page * (USUAL_LENGTH[field.name] ?? 1);
      sum += many + thingsIn(context, selection.selectionSet, getNamedType(field.type), many, open);
    } else if (selection.kind === Kind.INLINE_FRAGMENT) {
      const type = selection.typeCondition ? context.getSchema().getType(selection.typeCondition.name.value) : parent;
      if (type && isCompositeType(type)) sum += thingsIn(context, selection.selectionSet, type, times, open);
    } else {
      const fragment = context.getFragment(selection.name.value);
      const type = fragment && context.getSchema().getType(fragment.typeCondition.name.value);
      if (!fragment || !type || !isCompositeType(type) || open.has(fragment)) continue;
      sum += thingsIn(context, fragment.selectionSet, type, times, new Set([...open, fragment]));
    }
  }
  return sum;
}

function tooComplex(message: string): GraphQLError {
  const originalError = new TugError('QUERY_TOO_COMPLEX', message.replace('Syntax Error: ', ''));
  return new GraphQLError(originalError.message, { originalError });
}
