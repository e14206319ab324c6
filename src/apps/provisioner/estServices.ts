/** What the labels of EST stand for: which profile, and how bodies are framed. */
import type { EstService } from '../../servers/http/est.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';

/** By label; the empty one is what comes without (RFC 7030 §3.2.2). */
export function estServices(hierarchy: () => Hierarchy): ReadonlyMap<string, EstService> {
  const standard: EstService = {
    profile: 'ldevid',
    // RFC 7030 §4.1.3: the root, what stands between it and a device, and what links the old to the new.
    caCertificates: () => [...hierarchy().roots, ...hierarchy().operational, ...hierarchy().links],
    popLinking: 'when-present',
    again: 'allowed',
    framing: 'line',
  };
  return new Map<string, EstService>([
    ['', standard],
    ['ldevid', standard],
    ['ldevid-short', { ...standard, profile: 'ldevid-short' }],
    // For clients that insist on naming their connection, and on being told to.
    ['linked', { ...standard, popLinking: 'required' }],
    // For clients that cannot read a long line; others cannot read anything else.
    ['wrapped', { ...standard, framing: 'wrap64' }],
  ]);
}
