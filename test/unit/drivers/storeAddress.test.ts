import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAddress, readStoreAddress } from '../../../src/drivers/store/postgres/address.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';

test('an address is read with what it leaves away', () => {
  const none = { kind: 'none' } as const;
  const local = {
    host: 'localhost',
    port: 5432,
    user: 'birthmark',
    database: 'b',
    encryption: none,
  };
  assert.deepEqual(readStoreAddress('postgres://localhost/b'), local);
  assert.deepEqual(readStoreAddress('postgresql://anna@localhost:6000/b'), {
    ...local,
    user: 'anna',
    port: 6000,
  });
  const socket = readStoreAddress('postgres://localhost/b?host=/run/pg');
  assert.deepEqual(socket, { ...local, host: '/run/pg' });
  assert.deepEqual(readStoreAddress('postgres:///b'), { ...local, host: '/var/run/postgresql' });
  const remote = 'postgres://db.example/b?sslmode=verify-full&sslrootcert=/etc/ca.pem';
  assert.deepEqual(readStoreAddress(remote), {
    ...local,
    host: 'db.example',
    encryption: { kind: 'verified', rootCertificatePath: '/etc/ca.pem' },
  });
  assert.equal(describeAddress(local), 'b at localhost:5432');
});

test('no passwords, no half encryption, nothing unknown; and the text is not repeated', () => {
  for (const [text, reason] of [
    ['mysql://localhost/b', /is written postgres/],
    ['nonsense', /is written postgres/],
    ['postgres://anna:secret@localhost/b', /must not hold a password/],
    ['postgres://localhost/b?password=secret', /must not hold a password/],
    ['postgres://localhost/', /names no database/],
    ['postgres://localhost/a%2Fb', /are names/],
    ['postgres://localhost/%ff', /are names/],
    ['postgres://db.example/b', /needs sslmode=verify-full/],
    ['postgres://db.example/b?sslmode=require', /verify-full or disable/],
    ['postgres://localhost/b?options=-cfsync%3Doff', /options is not known/],
  ] as const) {
    const address = readStoreAddress(text);
    assert.ok(isRefusal(address), text);
    assert.match(address.reason, reason);
    assert.doesNotMatch(address.reason, /secret/);
  }
});
