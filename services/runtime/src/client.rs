//! The client of an HTTP connection.

use std::net::SocketAddr;

use x509_parser::prelude::{FromDer, X509Certificate};

/// The client of a connection; every request has an `Arc` of it in its extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Remote address of the connection.
    pub address: Option<SocketAddr>,
    /// Subject of the client's certificate; `None` without one.
    pub subject: Option<Subject>,
}

/// The subject of a certificate: the first value of each field, empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The organization (`O`).
    pub organization: String,
    /// The organizational unit (`OU`).
    pub organizational_unit: String,
    /// The common name (`CN`).
    pub common_name: String,
}

impl Subject {
    /// Parses the subject of a DER certificate; `None` if it is invalid.
    pub(crate) fn of(certificate: &[u8]) -> Option<Subject> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let first = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(Subject {
            organization: first(subject.iter_organization().next().and_then(|part| part.as_str().ok())),
            organizational_unit: first(
                subject.iter_organizational_unit().next().and_then(|part| part.as_str().ok()),
            ),
            common_name: first(subject.iter_common_name().next().and_then(|part| part.as_str().ok())),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn the_subject_of_a_certificate() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "team-a");
        params.distinguished_name.push(DnType::CommonName, "ann");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let subject = Subject::of(certificate.der()).unwrap();
        assert_eq!((subject.organization.as_str(), subject.common_name.as_str()), ("team-a", "ann"));
        assert_eq!(subject.organizational_unit, "");
        assert_eq!(Subject::of(b"no certificate"), None);
    }
}
