//! The tenant of a request. Thanos `pkg/tenancy/tenancy.go`.

use std::sync::Arc;

use axum::extract::Request;
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::{Client, Subject};

/// How tenants are recognised, and whether they are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenancy {
    /// `--query.tenant-header`: the header that names the tenant, besides `THANOS-TENANT`.
    pub header: String,
    /// `--query.default-tenant-id`: the tenant of requests that name none. The tenant is forwarded to the stores.
    pub default: String,
    /// `--query.tenant-certificate-field`: the field of a client certificate that names the tenant, instead of the
    /// header.
    pub certificate_field: Option<CertificateField>,
    /// `--query.tenant-label-name` with `--query.enforce-tenancy`: only series whose value of this label is the tenant
    /// are read.
    pub enforced_label: Option<String>,
}

impl Default for Tenancy {
    fn default() -> Tenancy {
        Tenancy {
            header: THANOS_HEADER.to_owned(),
            default: "default-tenant".to_owned(),
            certificate_field: None,
            enforced_label: None,
        }
    }
}

const THANOS_HEADER: &str = "THANOS-TENANT";

/// A field of a certificate's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// `organization`.
    Organization,
    /// `organizationalUnit`.
    OrganizationalUnit,
    /// `commonName`.
    CommonName,
}

impl CertificateField {
    /// The field with Thanos's name for it.
    pub fn of(name: &str) -> Option<CertificateField> {
        let all = [
            CertificateField::Organization,
            CertificateField::OrganizationalUnit,
            CertificateField::CommonName,
        ];
        all.into_iter().find(|field| field.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            CertificateField::Organization => "organization",
            CertificateField::OrganizationalUnit => "organizationalUnit",
            CertificateField::CommonName => "commonName",
        }
    }

    fn value(self, subject: &Subject) -> &str {
        match self {
            CertificateField::Organization => &subject.organization,
            CertificateField::OrganizationalUnit => &subject.organizational_unit,
            CertificateField::CommonName => &subject.common_name,
        }
    }
}

/// The tenant of a request, or an error text for its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tenant(Result<String, String>);

impl Tenant {
    /// The tenant's name. Fails when it is empty or has a slash, since it may become part of a path in a store.
    pub(crate) fn name(&self) -> Result<&str, String> {
        match &self.0 {
            Ok(name) if name.is_empty() || name.contains('/') => Err("tenant name not valid".to_owned()),
            Ok(name) => Ok(name),
            Err(error) => Err(error.clone()),
        }
    }
}

impl Tenancy {
    /// The tenant of a request: from the client certificate if that is configured, else from the configured header, the
    /// `THANOS-TENANT` header or the default.
    pub(crate) fn of(&self, request: &Request) -> Tenant {
        let Some(field) = self.certificate_field else {
            return Tenant(Ok(self.by_header(request).to_owned()));
        };
        let client = request.extensions().get::<Arc<Client>>();
        let missing = || "could not get required certificate field from client cert".to_owned();
        let subject = client.and_then(|client| client.subject.as_ref()).ok_or_else(missing);
        Tenant(subject.and_then(|subject| match field.value(subject) {
            "" => Err(format!("could not get {} field from client cert", field.name())),
            value => Ok(value.to_owned()),
        }))
    }

    /// The tenant that the headers name, or the default.
    pub(crate) fn by_header<'a>(&'a self, request: &'a Request) -> &'a str {
        let value = |name: &str| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).filter(|v| !v.is_empty())
        };
        value(&self.header).or_else(|| value(THANOS_HEADER)).unwrap_or(&self.default)
    }

    /// The matcher that every selector gets for this tenant; `None` when tenancy is not enforced.
    pub(crate) fn enforced(&self, tenant: &str) -> Option<Matcher> {
        let label = self.enforced_label.as_ref()?;
        // An equality matcher has no pattern, so it is always valid.
        Matcher::new(MatchOp::Equal, label.as_str(), tenant).ok()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(headers: &[(&str, &str)], subject: Option<Subject>) -> Request {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Arc::new(Client { address: None, subject }));
        request
    }

    #[test]
    fn headers_name_the_tenant() {
        let tenancy = Tenancy { header: "X-Scope".to_owned(), ..Tenancy::default() };
        for (headers, name) in [
            (&[][..], Ok("default-tenant")),
            (&[("thanos-tenant", "a")], Ok("a")),
            (&[("thanos-tenant", "a"), ("x-scope", "b")], Ok("b")),
            (&[("x-scope", "a/b")], Err("tenant name not valid".to_owned())),
        ] {
            assert_eq!(tenancy.of(&request(headers, None)).name(), name);
        }
    }

    #[test]
    fn a_certificate_counts_whatever_the_header_says() {
        let field = CertificateField::of("organizationalUnit");
        let tenancy = Tenancy { certificate_field: field, ..Tenancy::default() };
        let with = |unit: &str| {
            let subject = Subject { organizational_unit: unit.to_owned(), ..Subject::default() };
            tenancy.of(&request(&[("thanos-tenant", "a")], Some(subject)))
        };
        assert_eq!(with("team").name(), Ok("team"));
        let expected = "could not get organizationalUnit field from client cert".to_owned();
        assert_eq!(with("").name(), Err(expected));
        let expected = "could not get required certificate field from client cert".to_owned();
        assert_eq!(tenancy.of(&request(&[("thanos-tenant", "a")], None)).name(), Err(expected));
        assert_eq!(CertificateField::of("surname"), None);
    }
}
