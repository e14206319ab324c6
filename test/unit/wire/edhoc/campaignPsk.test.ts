/** Changed messages of EDHOC-PSK. */
import { campaign } from '../../../support/campaign.ts';
import { pskSubject } from './campaign.ts';

campaign([pskSubject]);
