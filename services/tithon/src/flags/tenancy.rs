//! `--query.*tenan*`: for whom a request is answered. Thanos `pkg/tenancy`.

use clap::Args;
use tithon_query::{CertificateField, Tenancy};

/// Flags of `query` about tenants.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tenants")]
pub struct TenancyFlags {
    /// The header of requests that names the tenant, for whom the servers are asked.
    #[arg(long = "query.tenant-header", value_name = "NAME", default_value = "THANOS-TENANT")]
    tenant_header: String,
    /// The tenant of requests that name none.
    #[arg(long = "query.default-tenant-id", value_name = "TENANT", default_value = "default-tenant")]
    default_tenant: String,
    /// Field of a client's certificate that names the tenant, whatever the header says: organization, organizationalUnit or
    /// commonName; a request without it is refused. Needs --http.config with TLS that asks for certificates.
    #[arg(long = "query.tenant-certificate-field", value_name = "FIELD", default_value = "", hide_default_value = true,
          value_parser = ["", "organization", "organizationalUnit", "commonName"])]
    certificate_field: String,
    /// Answer from the data of the request's tenant only: each selector gets a matcher on the tenant's label, in place of
    /// its own on that label.
    #[arg(long = "query.enforce-tenancy", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    enforce: bool,
    /// The label that has the tenant's name, with --query.enforce-tenancy.
    #[arg(long = "query.tenant-label-name", value_name = "LABEL", default_value = "tenant_id")]
    label: String,
}

impl TenancyFlags {
    /// What they say.
    pub fn tenancy(&self) -> Tenancy {
        Tenancy {
            header: self.tenant_header.clone(),
            default: self.default_tenant.clone(),
            certificate_field: CertificateField::of(&self.certificate_field),
            enforced_label: self.enforce.then(|| self.label.clone()),
        }
    }
}
