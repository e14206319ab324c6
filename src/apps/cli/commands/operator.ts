/** `birthmark operator`: the persons of an installation that takes two, and what each of them may. */
import { type Command, Option } from 'commander';
import { readFile, writeFile } from 'node:fs/promises';
import { ApprovalClient } from '../../../drivers/links/local/approvalClient.ts';
import { type OperatorRole, operatorRoles } from '../../../trust/ports/approvalStore.ts';
import { isRefusal, type Refusal } from '../../../trust/ports/faults.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { parseCertificationRequest } from '../../../wire/x509/certificationRequest.ts';
import { encodePem, parsePem } from '../../../wire/x509/pem.ts';
import { approvable, type ApprovableOptions, ask, withApprovals, wouldAsk } from '../approving.ts';
import { operatorOf, reachable, type ReachOptions, reachOf } from '../reach.ts';
import { makeOperator, requestFileOf, requestOf, saveOperator } from '../operatorFolder.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface DataOptions extends OutputOptions, ReachOptions {}

interface ActOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
}

interface RoleOptions extends ActOptions {
  readonly role: OperatorRole;
}

interface AddOptions extends RoleOptions {
  readonly request: string;
  readonly out?: string;
}

export function registerOperator(program: Command): void {
  const operator = program
    .command('operator')
    .description('Persons, by certificate, and their roles, where two persons are needed');
  registerRequest(operator);
  registerAdd(operator);
  reachable(operator.command('list').description('Operators with the roles that they hold'))
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark operator list')
    .action(list);
  registerRoles(operator);
  shared(operator.command('revoke <name>').description('End an operator; an admin alone may'))
    .addHelpText('after', '\nExample:\n  birthmark operator revoke eve --as ./ada')
    .action(revoke);
  reachable(
    operator
      .command('renew <folder>')
      .description('Another certificate for the same key, for a year'),
  )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark operator renew ./ada')
    .action(renew);
}

function registerRequest(operator: Command): void {
  operator
    .command('request <name>')
    .description('Make the key of an operator on their own machine, and a request for it')
    .option('--out <folder>', 'folder of the operator (default: ./NAME)')
    .option('--key <uri>', 'keep the key in a PKCS#11 token (RFC 7512)')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark operator request ada
  birthmark operator request ada --key 'pkcs11:token=ada;object=approvals?module-path=/usr/lib/opensc-pkcs11.so'

The key never leaves the folder or the token; request.pem goes to whoever adds the operator. Its passphrase
comes from BIRTHMARK_OPERATOR_PASSPHRASE_FILE, BIRTHMARK_OPERATOR_PASSPHRASE or a prompt.`,
    )
    .action(makeRequest);
}

function registerAdd(operator: Command): void {
  shared(operator.command('add <name>').description('Certify an operator and give a first role'))
    .requiredOption('--request <file>', 'the request in PEM that the operator has made')
    .addOption(roleOption())
    .option('--out <file>', 'where the certificate is written (default: NAME.pem)')
    .addHelpText(
      'after',
      `
Examples:
  birthmark operator add eve --role operator --request eve/request.pem --as ./ada
  birthmark operator add eve --role operator --request eve/request.pem --approval 3f2a…
  birthmark operator add eve --role operator --request eve/request.pem \\
    --server https://birthmark.example:8444 --operator ./ada

The role stands in the registry of the authority, not in the certificate.`,
    )
    .action(add);
}

function registerRoles(operator: Command): void {
  for (const kind of ['grant', 'withdraw'] as const) {
    const about = kind === 'grant' ? 'Give a role' : 'Take a role away; an admin alone may';
    shared(operator.command(`${kind} <name>`).description(about))
      .addOption(roleOption())
      .addHelpText(
        'after',
        `\nExample:\n  birthmark operator ${kind} eve --role station-manager --as ./ada`,
      )
      .action((name: string, options: RoleOptions) => changeRole(name, kind, options));
  }
}

function roleOption(): Option {
  const about = 'admin and auditor exclude each other';
  return new Option('--role <role>', about).choices(operatorRoles).makeOptionMandatory();
}

function shared(command: Command): Command {
  return approvable(reachable(command))
    .option('--dry-run', 'say what would be asked for')
    .option('--json', 'one JSON document on stdout');
}

async function makeRequest(
  name: string,
  options: OutputOptions & { readonly out?: string; readonly key?: string },
): Promise<void> {
  const folder = options.out ?? `./${name}`;
  await makeOperator(folder, name, options.key);
  const request = requestFileOf(folder);
  print(options, { name, folder, request }, [`${request} goes to an admin; the key stays here.`]);
}

async function add(name: string, options: AddOptions): Promise<void> {
  const { role, out = `${name}.pem` } = options;
  const request = parsePem(await readFile(options.request, 'utf8'), 'CERTIFICATE REQUEST');
  const operator = { name, role, key: parseCertificationRequest(request).publicKey.spki };
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'operator.add', operator);
    print(options, { dryRun: true, name, role, ...would.document }, [
      `Would certify ${name} and give the role ${role}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'operator.add', () => operator);
  if (asked === undefined) return;
  const { chain } = await withClient(options, async (client) =>
    allowed(await client.addOperator({ name, role, request }, asked.approval)),
  );
  await writeFile(out, chain.map((der) => encodePem('CERTIFICATE', der)).join(''));
  print(options, { name, role, certificate: out }, [`${name} is ${role}; certificate in ${out}.`]);
}

async function list(options: DataOptions): Promise<void> {
  const operators = await withApprovals(options, (desk) => desk.operators());
  const shown = operators.map(({ name, roles, addedMs, revokedMs, certificate }) => ({
    name,
    roles: roles.map(({ role }) => role),
    addedMs,
    // A restored store may know no more of a revoked one than the name.
    notAfterMs: certificate.length === 0 ? addedMs : parseCertificate(certificate).notAfterMs,
    revokedMs: revokedMs ?? null,
  }));
  print(options, { operators: shown }, [
    ...table([
      ['operator', 'roles', 'certificate until', ''],
      ...shown.map(({ name, roles, notAfterMs, revokedMs }) => [
        name,
        roles.join(', '),
        new Date(notAfterMs).toISOString().slice(0, 10),
        revokedMs === null ? '' : 'revoked',
      ]),
    ]),
  ]);
}

async function changeRole(
  name: string,
  kind: 'grant' | 'withdraw',
  options: RoleOptions,
): Promise<void> {
  const { role } = options;
  const act = `operator.${kind}` as const;
  if (options.dryRun === true) {
    const would = await wouldAsk(options, act, { name, role });
    print(options, { dryRun: true, name, role, ...would.document }, [
      `Would ${kind} ${name} the role ${role}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, act, () => ({ name, role }));
  if (asked === undefined) return;
  await withClient(options, async (client) =>
    done(await client.changeRole({ name, role }, kind, asked.approval)),
  );
  print(options, { name, role, change: kind }, [
    kind === 'grant' ? `${name} is ${role} now.` : `${name} is ${role} no more.`,
  ]);
}

async function revoke(name: string, options: ActOptions): Promise<void> {
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'operator.revoke', { name });
    print(options, { dryRun: true, name, ...would.document }, [
      `Would revoke ${name}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'operator.revoke', () => ({ name }));
  if (asked === undefined) return;
  await withClient(options, async (client) =>
    done(await client.revokeOperator(name, asked.approval)),
  );
  print(options, { name, revoked: true }, [
    `${name} signs nothing any more; what ${name} asked for or approved and is not done is void.`,
  ]);
}

async function renew(folder: string, options: DataOptions): Promise<void> {
  const operator = await operatorOf(folder);
  const request = await requestOf(operator);
  const { chain } = await withClient(options, async (client) =>
    allowed(await client.renewOperator(operator.name, request)),
  );
  const file = await saveOperator(folder, chain);
  print(options, { name: operator.name, certificate: file }, [`${operator.name}: ${file}`]);
}

async function withClient<Value>(
  options: ReachOptions,
  use: (client: ApprovalClient) => Promise<Value>,
): Promise<Value> {
  const client = new ApprovalClient(reachOf(options, 'authority'));
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

function done(outcome: undefined | Refusal<string>): void {
  if (isRefusal(outcome)) {
    throw new CommandFailure(`${outcome.reason} [${outcome.refused}]`, exitCodes.refused);
  }
}
