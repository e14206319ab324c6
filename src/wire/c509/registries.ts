/**
 * The registries of C509 (draft-ietf-cose-cbor-encoded-cert §8) as data: which integer stands for which
 * object identifier.
 */

/** Integers and dotted object identifiers, one to one. */
export interface Registry {
  readonly oidOf: ReadonlyMap<number, string>;
  readonly valueOf: ReadonlyMap<string, number>;
}

/** §8.6. The values of 0 and 22 are IA5String in X.509 whatever their sign. */
export const rdnAttributes: Registry = registry(
  [0, '1.2.840.113549.1.9.1'], // emailAddress
  [1, '2.5.4.3'], // commonName
  [2, '2.5.4.4'], // surname
  [3, '2.5.4.5'], // serialNumber
  [4, '2.5.4.6'], // countryName
  [5, '2.5.4.7'], // localityName
  [6, '2.5.4.8'], // stateOrProvinceName
  [7, '2.5.4.9'], // streetAddress
  [8, '2.5.4.10'], // organizationName
  [9, '2.5.4.11'], // organizationalUnitName
  [10, '2.5.4.12'], // title
  [11, '2.5.4.15'], // businessCategory
  [12, '2.5.4.17'], // postalCode
  [13, '2.5.4.42'], // givenName
  [14, '2.5.4.43'], // initials
  [15, '2.5.4.44'], // generationQualifier
  [16, '2.5.4.46'], // dnQualifier
  [17, '2.5.4.65'], // pseudonym
  [18, '2.5.4.97'], // organizationIdentifier
  [19, '1.3.6.1.4.1.311.60.2.1.1'], // jurisdictionLocalityName
  [20, '1.3.6.1.4.1.311.60.2.1.2'], // jurisdictionStateOrProvinceName
  [21, '1.3.6.1.4.1.311.60.2.1.3'], // jurisdictionCountryName
  [22, '0.9.2342.19200300.100.1.25'], // domainComponent
  [25, '2.5.4.41'], // name
  [26, '2.5.4.20'], // telephoneNumber
  [27, '2.5.4.54'], // dmdName
  [28, '0.9.2342.19200300.100.1.1'], // userid
  [29, '1.2.840.113549.1.9.2'], // unstructuredName
  [30, '1.2.840.113549.1.9.8'], // unstructuredAddress
);

/** §8.7. */
export const requestAttributes: Registry = registry(
  [0, '1.2.840.113549.1.9.14'], // extensionRequest
  [1, '1.2.840.113549.1.9.7'], // challengePassword
  [2, '1.3.6.1.4.1.22112.2.1'], // privateKeyPossessionStatement
);

/** §8.8. */
export const extensionIds: Registry = registry(
  [1, '2.5.29.14'], // subjectKeyIdentifier
  [2, '2.5.29.15'], // keyUsage
  [3, '2.5.29.17'], // subjectAltName
  [4, '2.5.29.19'], // basicConstraints
  [5, '2.5.29.31'], // cRLDistributionPoints
  [6, '2.5.29.32'], // certificatePolicies
  [7, '2.5.29.35'], // authorityKeyIdentifier
  [8, '2.5.29.37'], // extKeyUsage
  [9, '1.3.6.1.5.5.7.1.1'], // authorityInfoAccess
  [25, '2.5.29.18'], // issuerAltName
  [26, '2.5.29.30'], // nameConstraints
  [27, '2.5.29.33'], // policyMappings
  [28, '2.5.29.36'], // policyConstraints
  [29, '2.5.29.46'], // freshestCRL
  [30, '2.5.29.54'], // inhibitAnyPolicy
  [31, '1.3.6.1.5.5.7.1.11'], // subjectInfoAccess
  [32, '1.3.6.1.5.5.7.1.7'], // id-pe-ipAddrBlocks
  [33, '1.3.6.1.5.5.7.1.8'], // id-pe-autonomousSysIds
  [34, '1.3.6.1.5.5.7.1.28'], // id-pe-ipAddrBlocks-v2
  [35, '1.3.6.1.5.5.7.1.29'], // id-pe-autonomousSysIds-v2
  [36, '1.3.6.1.5.5.7.48.1.5'], // id-pkix-ocsp-nocheck
  [37, '1.3.6.1.4.1.11129.2.4.3'], // precertificate signing
  [38, '1.3.6.1.5.5.7.1.24'], // id-pe-tlsfeature
);

/** §8.9. */
export const certificatePolicyIds: Registry = registry(
  [0, '2.5.29.32.0'], // anyPolicy
  [1, '2.23.140.1.2.1'], // domain-validated
  [2, '2.23.140.1.2.2'], // organization-validated
  [3, '2.23.140.1.2.3'], // individual-validated
  [4, '2.23.140.1.1'], // ev-guidelines
  [7, '1.3.6.1.5.5.7.14.2'], // id-cp-ipAddr-asNumber
  [8, '1.3.6.1.5.5.7.14.3'], // id-cp-ipAddr-asNumber-v2
  [24, '2.23.146.1.2.1.0'], // id-rspRole-ci
  [25, '2.23.146.1.2.1.1'], // id-rspRole-euicc-v2
  [26, '2.23.146.1.2.1.0.0.0.0.0'], // id-rspRole-euicc
  [27, '2.23.146.1.2.1.2'], // id-rspRole-eum-v2
  [28, '2.23.146.1.2.1.0.0.0'], // id-rspRole-eum
  [29, '2.23.146.1.2.1.3'], // id-rspRole-dp-tls-v2
  [30, '2.23.146.1.2.1.0.0.1.0'], // id-rspRole-dp-tls
  [31, '2.23.146.1.2.1.4'], // id-rspRole-dp-auth-v2
  [32, '2.23.146.1.2.1.0.0.1.1'], // id-rspRole-dp-auth
  [33, '2.23.146.1.2.1.5'], // id-rspRole-dp-pb-v2
  [34, '2.23.146.1.2.1.0.0.1.2'], // id-rspRole-dp-pb
  [35, '2.23.146.1.2.1.6'], // id-rspRole-ds-tls-v2
  [36, '2.23.146.1.2.1.0.0.2.0'], // id-rspRole-ds-tls
  [37, '2.23.146.1.2.1.7'], // id-rspRole-ds-auth-v2
  [38, '2.23.146.1.2.1.0.0.2.1'], // id-rspRole-ds-auth
);

/** §8.10. */
export const policyQualifierIds: Registry = registry(
  [1, '1.3.6.1.5.5.7.2.1'], // id-qt-cps
  [2, '1.3.6.1.5.5.7.2.2'], // id-qt-unotice
);

/** §8.11. */
export const accessMethods: Registry = registry(
  [1, '1.3.6.1.5.5.7.48.1'], // id-ad-ocsp
  [2, '1.3.6.1.5.5.7.48.2'], // id-ad-caIssuers
  [3, '1.3.6.1.5.5.7.48.3'], // id-ad-timeStamping
  [5, '1.3.6.1.5.5.7.48.5'], // id-ad-caRepository
  [10, '1.3.6.1.5.5.7.48.10'], // id-ad-rpkiManifest
  [11, '1.3.6.1.5.5.7.48.11'], // id-ad-signedObject
  [13, '1.3.6.1.5.5.7.48.13'], // id-ad-rpkiNotify
);

/** §8.12. */
export const keyPurposeIds: Registry = registry(
  [0, '2.5.29.37.0'], // anyExtendedKeyUsage
  [1, '1.3.6.1.5.5.7.3.1'], // id-kp-serverAuth
  [2, '1.3.6.1.5.5.7.3.2'], // id-kp-clientAuth
  [3, '1.3.6.1.5.5.7.3.3'], // id-kp-codeSigning
  [4, '1.3.6.1.5.5.7.3.4'], // id-kp-emailProtection
  [8, '1.3.6.1.5.5.7.3.8'], // id-kp-timeStamping
  [9, '1.3.6.1.5.5.7.3.9'], // id-kp-OCSPSigning
  [10, '1.3.6.1.5.2.3.4'], // id-pkinit-KPClientAuth
  [11, '1.3.6.1.5.2.3.5'], // id-pkinit-KPKdc
  [12, '1.3.6.1.5.5.7.3.21'], // id-kp-secureShellClient
  [13, '1.3.6.1.5.5.7.3.22'], // id-kp-secureShellServer
  [14, '1.3.6.1.5.5.7.3.35'], // id-kp-bundleSecurity
  [15, '1.3.6.1.5.5.7.3.27'], // id-kp-cmcCA
  [16, '1.3.6.1.5.5.7.3.28'], // id-kp-cmcRA
  [17, '1.3.6.1.5.5.7.3.29'], // id-kp-cmcArchive
  [18, '1.3.6.1.5.5.7.3.32'], // id-kp-cmKGA
  [20, '1.3.6.1.4.1.45605.1'], // id-kp-wisun-fan-device
);

/** §8.13: kinds of GeneralName; the negative ones are otherName values with an encoding of their own. */
export const generalNameTypes = {
  macAddress: -3,
  smtpUtf8Mailbox: -2,
  hardwareModuleName: -1,
  otherName: 0,
  rfc822Name: 1,
  dNSName: 2,
  directoryName: 4,
  uniformResourceIdentifier: 6,
  iPAddress: 7,
  registeredID: 8,
} as const;

export const otherNameOids = {
  macAddress: '1.3.6.1.5.5.7.8.12',
  smtpUtf8Mailbox: '1.3.6.1.5.5.7.8.9',
} as const;

function registry(...entries: ReadonlyArray<readonly [number, string]>): Registry {
  return {
    oidOf: new Map(entries),
    valueOf: new Map(entries.map(([value, oid]) => [oid, value])),
  };
}
