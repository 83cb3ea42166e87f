//! The clouds that Azure is: the public one, and those that are kept apart from it. Each has
//! addresses of its own, and tokens that only it takes (Microsoft, "Compare Azure Government and
//! global Azure", "Azure China 21Vianet developer guide").

use serde::{Deserialize, Serialize};

use crate::assertion::AUDIENCE;

/// Which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// What everybody means who says no more than Azure.
    #[default]
    Public,
    /// That of the government of the United States.
    UsGovernment,
    /// That which 21Vianet runs in China.
    China,
}

impl Environment {
    /// Entra ID's token service.
    pub(crate) const fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.partner.microsoftonline.cn",
        }
    }

    /// Azure Resource Manager.
    pub(crate) const fn endpoint(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com",
            Self::UsGovernment => "https://management.usgovcloudapi.net",
            Self::China => "https://management.chinacloudapi.cn",
        }
    }

    /// What Entra is asked for that Resource Manager takes.
    pub(crate) const fn management(self) -> &'static str {
        match self {
            Self::Public => "https://management.azure.com/.default",
            Self::UsGovernment => "https://management.usgovcloudapi.net/.default",
            Self::China => "https://management.chinacloudapi.cn/.default",
        }
    }

    /// What Entra is asked for that Storage takes: the same everywhere.
    pub(crate) const fn storage(self) -> &'static str {
        match self {
            Self::Public | Self::UsGovernment | Self::China => "https://storage.azure.com/.default",
        }
    }

    /// What follows an account's name where its blobs are.
    pub(crate) const fn blobs(self) -> &'static str {
        match self {
            Self::Public => "blob.core.windows.net",
            Self::UsGovernment => "blob.core.usgovcloudapi.net",
            Self::China => "blob.core.chinacloudapi.cn",
        }
    }

    /// What follows a vault's name where its keys are.
    pub(crate) const fn vaults(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    /// What Entra is asked for that Key Vault takes.
    pub(crate) const fn vault(self) -> &'static str {
        match self {
            Self::Public => "https://vault.azure.net/.default",
            Self::UsGovernment => "https://vault.usgovcloudapi.net/.default",
            Self::China => "https://vault.azure.cn/.default",
        }
    }

    /// Who takes assertions: what every federated credential names.
    pub(crate) const fn exchange(self) -> &'static str {
        match self {
            Self::Public => AUDIENCE,
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }
}
