//! `--query.*tenan*`: the tenants of requests. Thanos `pkg/tenancy`.

use clap::Args;
use tithon_query::{CertificateField, Tenancy};

/// Flags of `query` about tenants.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tenants")]
pub struct TenancyFlags {
    /// Header of requests that names the tenant, which is forwarded to the servers.
    #[arg(long = "query.tenant-header", value_name = "NAME", default_value = "THANOS-TENANT")]
    tenant_header: String,
    /// The tenant of requests that name none.
    #[arg(long = "query.default-tenant-id", value_name = "TENANT", default_value = "default-tenant")]
    default_tenant: String,
    /// Field of the client's certificate that names the tenant, instead of the header: organization, organizationalUnit
    /// or commonName; a request without it is refused. Needs --http.config with TLS that requests certificates.
    #[arg(long = "query.tenant-certificate-field", value_name = "FIELD", default_value = "", hide_default_value = true,
          value_parser = ["", "organization", "organizationalUnit", "commonName"])]
    certificate_field: String,
    /// Answer only from the data of the request's tenant: each selector gets a matcher on the tenant's label, which
    /// replaces its own matchers on that label.
    #[arg(long = "query.enforce-tenancy", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    enforce: bool,
    /// Label whose value is the tenant's name, for --query.enforce-tenancy.
    #[arg(long = "query.tenant-label-name", value_name = "LABEL", default_value = "tenant_id")]
    label: String,
}

impl TenancyFlags {
    /// The settings of the flags.
    pub fn tenancy(&self) -> Tenancy {
        Tenancy {
            header: self.tenant_header.clone(),
            default: self.default_tenant.clone(),
            certificate_field: CertificateField::of(&self.certificate_field),
            enforced_label: self.enforce.then(|| self.label.clone()),
        }
    }
}
