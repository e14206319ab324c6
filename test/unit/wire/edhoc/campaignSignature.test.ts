/** Changed messages of the methods in which the initiator signs. */
import { campaign } from '../../../support/campaign.ts';
import { subject } from './campaign.ts';

campaign([(seed) => subject(0, seed), (seed) => subject(1, seed)]);
