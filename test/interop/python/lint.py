"""The linter of another house: pkilint, for certificates, lists and OCSP answers.

Every line of standard input is a JSON document with a kind and DER in hexadecimal; every answer is a line with the
findings from warnings up.
"""

import json
import sys

from pkilint import loader, pkix, validation
from pkilint.pkix import certificate, crl, extension, name, ocsp

decoders = [
    pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
    pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
]

judges = {
    "certificate": (
        loader.RFC5280CertificateDocumentLoader(),
        certificate.create_pkix_certificate_validator_container(
            certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
            [
                certificate.create_issuer_validator_container([]),
                certificate.create_validity_validator_container(),
                certificate.create_subject_validator_container([]),
                certificate.create_extensions_validator_container([]),
                certificate.create_spki_validator_container([]),
            ],
        ),
    ),
    "crl": (
        loader.RFC5280CertificateListDocumentLoader(),
        crl.create_pkix_crl_validator_container(
            decoders,
            [
                crl.create_issuer_validator_container([]),
                crl.create_validity_validator_container([]),
                crl.create_extensions_validator_container([]),
            ],
        ),
    ),
    "ocsp": (
        loader.RFC6960OCSPResponseDocumentLoader(),
        ocsp.create_pkix_ocsp_response_validator_container([ocsp.create_response_decoder(), *decoders], []),
    ),
}


def findings(task):
    documents, judge = judges[task["kind"]]
    document = documents.load_der_document(bytes.fromhex(task["der"]), "line")
    return [
        f"{found.finding.code} @ {result.node.path}"
        for result in judge.validate(document.root)
        for found in result.finding_descriptions
        if found.finding.severity <= validation.ValidationFindingSeverity.WARNING
    ]


for line in iter(sys.stdin.readline, ""):
    try:
        answer = {"findings": findings(json.loads(line))}
    except ValueError as error:
        answer = {"findings": [f"unreadable: {error}"]}
    print(json.dumps(answer), flush=True)
