/** Every command of `birthmark`: NOUN VERB, one file of commands a noun. */
import { Command } from 'commander';
import { registerCert } from './commands/cert.ts';
import { registerApplication } from './commands/application.ts';
import { registerApproval } from './commands/approval.ts';
import { registerAudit } from './commands/audit.ts';
import { registerCa } from './commands/ca.ts';
import { registerCrl } from './commands/crl.ts';
import { registerDevice } from './commands/device.ts';
import { registerElement } from './commands/element.ts';
import { registerEvidence } from './commands/evidence.ts';
import { registerEnrolment } from './commands/enrolment.ts';
import { registerForeign } from './commands/foreign.ts';
import { registerGateway } from './commands/gateway.ts';
import { registerLine } from './commands/line.ts';
import { registerManifest } from './commands/manifest.ts';
import { registerOperator } from './commands/operator.ts';
import { registerOrder } from './commands/order.ts';
import { registerProfile } from './commands/profile.ts';
import { registerSensor } from './commands/sensor.ts';
import { registerServe } from './commands/serve.ts';
import { registerStation } from './commands/station.ts';
import { registerStatusOrders } from './commands/statusOrders.ts';
import { registerStore } from './commands/store.ts';
import { registerTelemetry } from './commands/telemetry.ts';
import { registerTicket } from './commands/ticket.ts';
import { registerToken } from './commands/token.ts';
import { refuseElsewhere } from './reach.ts';

export function birthmarkProgram(): Command {
  const program = new Command('birthmark')
    .description('Identity and end-to-end security of connected devices')
    .version('0.1.0')
    .showHelpAfterError('(add --help for examples)')
    .exitOverride();
  registerCert(program);
  registerCa(program);
  registerOperator(program);
  registerApproval(program);
  registerOrder(program);
  registerTicket(program);
  registerElement(program);
  registerLine(program);
  registerManifest(program);
  registerForeign(program);
  registerEnrolment(program);
  registerProfile(program);
  registerStation(program);
  registerServe(program);
  registerDevice(program);
  registerStatusOrders(program);
  registerCrl(program);
  registerApplication(program);
  registerToken(program);
  registerGateway(program);
  registerSensor(program);
  registerTelemetry(program);
  registerStore(program);
  registerAudit(program);
  registerEvidence(program);
  refuseElsewhere(program);
  return program;
}
