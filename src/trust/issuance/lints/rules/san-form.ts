/** Alternative names are of the form that the profile wants. */
import type { HardwareModuleName } from '../../../../wire/x509/generalNames.ts';
import type { LintSubject, Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'san-form',
  clause: 'profile: alternative name',
  fault: alternativeNameFault,
};

function alternativeNameFault(subject: LintSubject): string | undefined {
  const { alternativeNames, profile } = subject;
  switch (profile.alternativeName) {
    case 'none':
      return alternativeNames === undefined
        ? undefined
        : 'alternative names are not of its profile';
    case 'hardware-module':
      return alternativeNames?.length === 1 && isSoundModule(subject.hardwareModule)
        ? undefined
        : 'the one alternative name is not the hardware module (RFC 4108 §5)';
    case 'hosts':
      return alternativeNames?.every(({ kind }) => kind === 'dNSName' || kind === 'iPAddress') ===
        true
        ? undefined
        : 'the alternative names are not hosts alone';
  }
}

function isSoundModule(module: HardwareModuleName | undefined): boolean {
  return module !== undefined && module.hwSerialNum.length > 0 && module.hwSerialNum.length <= 64;
}
