/** Changed messages of EDHOC-PSK. */
import { campaign, pskSubject } from './campaign.ts';

campaign([pskSubject]);
