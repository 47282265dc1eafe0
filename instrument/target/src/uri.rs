//! Names of targets, as users write them. Deliberately knows nothing of how a target is reached.

use std::fmt;
use std::str::FromStr;

/// A target as named on the command line: `local`, `lambda:URL`, `aws:REGION`, `emulated:PROFILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// The embedded platform, started in a process of its own on loopback with temporary state.
    Local,
    /// Any endpoint that speaks the Lambda API.
    Lambda(Url),
    /// AWS Lambda in this region.
    Aws(String),
    /// A platform in virtual time: the name of a built-in profile, or a TOML file.
    Emulated(String),
}

/// Scheme, host and port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is spoken to through TLS.
    pub scheme: Scheme,
    /// Name or address; IPv6 addresses in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http://`
    Http,
    /// `https://`
    Https,
}

/// Why a text names no target.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    /// None of the kinds.
    #[error("target {0:?} is none of local, lambda:http://HOST:PORT, aws:REGION, emulated:PROFILE")]
    Unknown(String),
    /// The part after `lambda:` is no URL of an endpoint.
    #[error("endpoint {0:?} is not http://HOST:PORT or https://HOST[:PORT], without a path")]
    Endpoint(String),
    /// The part after `aws:` is no region.
    #[error("region {0:?} is not like eu-west-1")]
    Region(String),
}

impl Uri {
    /// The part before the colon: `local`, `lambda`, `aws`, `emulated`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Lambda(_) => "lambda",
            Self::Aws(_) => "aws",
            Self::Emulated(_) => "emulated",
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Self, UriError> {
        match text.split_once(':') {
            None if text == "local" => Ok(Self::Local),
            Some(("lambda", url)) => Ok(Self::Lambda(url.parse()?)),
            Some(("aws", region)) => {
                let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                if region.len() >= 6 && region.contains('-') && region.chars().all(letters) {
                    Ok(Self::Aws(region.to_owned()))
                } else {
                    Err(UriError::Region(region.to_owned()))
                }
            }
            Some(("emulated", profile)) if !profile.is_empty() => {
                Ok(Self::Emulated(profile.to_owned()))
            }
            _ => Err(UriError::Unknown(text.to_owned())),
        }
    }
}

impl FromStr for Url {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Self, UriError> {
        let wrong = || UriError::Endpoint(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let whole = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !whole || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        });
        Ok(Self { scheme, host: authority.host().to_owned(), port })
    }
}

impl Url {
    /// Host and port as the `Host` header has them: the scheme's own port is left out.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Lambda(url) => write!(f, "lambda:{url}"),
            Self::Aws(region) => write!(f, "aws:{region}"),
            Self::Emulated(profile) => write!(f, "emulated:{profile}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every kind of target reads back as it was written, with the port that the scheme implies.
    #[test]
    fn targets_read_back() {
        for text in [
            "local",
            "lambda:http://127.0.0.1:9000",
            "lambda:https://x.org",
            "aws:eu-west-1",
            "emulated:aws-2018",
            "emulated:./mine.toml",
        ] {
            assert_eq!(text.parse::<Uri>().expect(text).to_string(), text);
        }
        let url: Url = "https://[::1]".parse().expect("an address in brackets");
        assert_eq!((url.host.as_str(), url.port), ("[::1]", 443));
    }

    // What names no target is refused with the text that was given.
    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "Local",
            "local:",
            "azure:x",
            "aws:",
            "aws:EU west",
            "lambda:127.0.0.1:1",
            "emulated:",
        ] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
        for text in
            ["lambda:ftp://x", "lambda:http://a@b", "lambda:http://x/path", "lambda:http://"]
        {
            let error = text.parse::<Uri>().expect_err(text);
            assert!(matches!(error, UriError::Endpoint(_)), "{text}: {error}");
        }
    }
}
