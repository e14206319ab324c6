/**
 * Entry of the process that holds the PKCS#11 module. It serves its parent over IPC and ends with it; what
 * the module does to this process (a crash, a block) it does not do to the authority. It lives as long as its
 * view of the token: the parent ends it when that is lost, since modules do not get over it.
 */
import { causeOf, problemOf } from './failures.ts';
import { loadPackage } from './module.ts';
import type { Answer, Command, Outcome, Request } from './protocol.ts';
import { TokenSessions } from './sessions.ts';

let sessions: TokenSessions | undefined;

process.on('message', (request: Request) => {
  void answer(request);
});
process.on('disconnect', () => process.exit(0));
// A person's Ctrl-C reaches the whole group; the authority decides when the token is let go.
process.on('SIGINT', () => undefined);

async function answer({ id, body }: Request): Promise<void> {
  const reply: Answer = { id, outcome: await serve(body) };
  process.send?.(reply);
}

async function serve(command: Command): Promise<Outcome> {
  try {
    return await execute(command);
  } catch (error) {
    return { kind: 'failed', problem: problemOf(error), cause: causeOf(error) };
  }
}

async function execute(command: Command): Promise<Outcome> {
  if (command.command === 'open') {
    sessions = new TokenSessions(loadPackage(), command);
    return { kind: 'opened' };
  }
  if (sessions === undefined) throw new Error('the token is not open');
  switch (command.command) {
    case 'find': {
      const key = sessions.find(command.keyLabel);
      return key === undefined ? { kind: 'absent' } : { kind: 'key', key };
    }
    case 'generate':
      return { kind: 'key', key: sessions.generate(command.keyLabel, command.algorithm) };
    case 'sign': {
      const signature = await sessions.sign(command);
      return signature === undefined ? { kind: 'absent' } : { kind: 'signature', signature };
    }
  }
}
