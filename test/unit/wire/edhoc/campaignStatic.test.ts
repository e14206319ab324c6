/** Changed messages of the methods in which the initiator has a static Diffie-Hellman key. */
import { campaign } from '../../../support/campaign.ts';
import { subject } from './campaign.ts';

campaign([(seed) => subject(2, seed), (seed) => subject(3, seed)]);
