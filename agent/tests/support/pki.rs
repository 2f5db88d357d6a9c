//! A throw-away CA with a server certificate, and certificates for whoever asks.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};

pub struct Pki {
    pub ca_pem: String,
    pub server_certificate_pem: String,
    pub server_key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        Self::with_server_valid(1975, 4096)
    }

    /// The server's certificate is valid from the first day of a year to that of another.
    pub fn with_server_valid(from_year: i32, to_year: i32) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let server_key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = rcgen::date_time_ymd(from_year, 1, 1);
        params.not_after = rcgen::date_time_ymd(to_year, 1, 1);
        let server = params.signed_by(&server_key, &issuer).unwrap();
        Self {
            ca_pem: ca.pem(),
            server_certificate_pem: server.pem(),
            server_key_pem: server_key.serialize_pem(),
            issuer,
        }
    }

    /// A client certificate for a PKCS#10 request in PEM, valid between two seconds of the epoch.
    pub fn sign(&self, csr_pem: &str, from: i64, to: i64) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let at = |second: i64| epoch + std::time::Duration::from_secs(second.try_into().unwrap());
        (request.params.not_before, request.params.not_after) = (at(from), at(to));
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// A client certificate and its key, both PEM.
    pub fn client(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
