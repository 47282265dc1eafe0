//! A Lambda API on loopback that runs nothing: it stands in for the boundary of a platform, and misbehaves on request.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

/// What the boundary knows and has seen.
#[derive(Default)]
pub struct State {
    pub functions: BTreeMap<String, Function>,
    /// Operations in order, as in `POST /2015-03-31/functions`.
    pub seen: Vec<String>,
    /// Creations yet to be throttled.
    pub throttled_creations: u32,
    /// Invocations yet to be throttled.
    pub throttled_invocations: u32,
    /// Where set, invocations are answered when so many of them are there.
    pub together: Option<Arc<Barrier>>,
    /// Connections accepted.
    pub connections: u32,
    /// Whether every connection is good for two invocations only, without a word of warning.
    pub closes: bool,
    /// Connections that the boundary has closed on its own.
    pub closed: u32,
}

#[derive(Clone, Default)]
pub struct Function {
    pub environment: Value,
    pub tags: Value,
    pub memory: Value,
    pub role: Value,
    pub zip: Value,
    /// Questions for its state that are still to be answered with "not yet".
    pub pending: u32,
    pub invocations: u64,
}

pub type Shared = Arc<Mutex<State>>;

/// Listens and serves for as long as the process lives.
pub fn start() -> (SocketAddr, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let state = Shared::default();
    let shared = Arc::clone(&state);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            shared.lock().expect("no panic").connections += 1;
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve(stream, &shared));
        }
    });
    (address, state)
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

/// What to do after an invocation was read.
enum Manner {
    Answer(Answer),
    /// Close without a word.
    HangUp,
    /// Answer, then close.
    AnswerAndClose(Answer),
}

fn answer(status: u16, body: Value) -> Manner {
    Manner::Answer(Answer { status, headers: Vec::new(), body })
}

fn refusal(status: u16, kind: &str, message: &str) -> Manner {
    let headers = vec![("x-amzn-errortype", kind.to_owned())];
    let body = json!({"Type": "User", "Message": message, "message": message});
    Manner::Answer(Answer { status, headers, body })
}

fn serve(stream: TcpStream, state: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((line, headers, body)) = read_request(&mut reader) {
        let mut words = line.split(' ');
        let (method, target) = (words.next().expect("method"), words.next().expect("target"));
        let path = target.split('?').next().expect("path").trim_end_matches('/');
        assert!(headers.contains("authorization: AWS4-HMAC-SHA256"), "{headers}");
        let manner = if path.ends_with("/invocations") {
            invoke(path, &headers, &body, state)
        } else {
            control(method, path, &body, state)
        };
        let (answer, close) = match manner {
            Manner::Answer(answer) => (answer, false),
            Manner::AnswerAndClose(answer) => (answer, true),
            Manner::HangUp => return,
        };
        let body = if answer.status == 204 { String::new() } else { answer.body.to_string() };
        let mut text =
            format!("HTTP/1.1 {} x\r\nContent-Length: {}\r\n", answer.status, body.len());
        for (name, value) in &answer.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("\r\n{body}");
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
        if close {
            drop(reader);
            state.lock().expect("no panic").closed += 1;
            return;
        }
    }
}

fn control(method: &str, path: &str, body: &str, state: &Shared) -> Manner {
    let mut state = state.lock().expect("no panic");
    state.seen.push(format!("{method} {path}"));
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches("/2015-03-31/functions").split('/').collect();
    let name = parts.get(1).copied().unwrap_or_default().to_owned();
    if method == "POST" {
        return create(&json, &mut state);
    }
    if name.is_empty() {
        let names = state.functions.keys().map(|name| json!({"FunctionName": name}));
        return answer(200, json!({"Functions": names.collect::<Vec<_>>()}));
    }
    let Some(function) = state.functions.get_mut(&name) else {
        return refusal(404, "ResourceNotFoundException", "Function not found");
    };
    match (method, parts.get(2).copied()) {
        ("GET", None) => answer(200, json!({"Configuration": {}, "Tags": function.tags})),
        ("GET", Some("configuration")) => {
            let settled = function.pending == 0;
            function.pending = function.pending.saturating_sub(1);
            let states = if settled { ("Active", "Successful") } else { ("Pending", "InProgress") };
            answer(200, configuration(&name, states))
        }
        ("PUT", Some("code")) => {
            function.zip = json["ZipFile"].clone();
            function.pending = 2;
            answer(200, configuration(&name, ("Active", "InProgress")))
        }
        ("PUT", Some("configuration")) => {
            function.memory = json["MemorySize"].clone();
            function.role = json["Role"].clone();
            function.environment = json["Environment"]["Variables"].clone();
            answer(200, configuration(&name, ("Active", "Successful")))
        }
        ("DELETE", None) => {
            state.functions.remove(&name);
            answer(204, Value::Null)
        }
        _ => refusal(400, "InvalidParameterValueException", "unknown operation"),
    }
}

fn create(json: &Value, state: &mut State) -> Manner {
    let runtime = json["Runtime"].as_str().unwrap_or_default();
    if !matches!(runtime, "provided.al2023" | "python3.11") {
        let message = "Value peek.unknown at 'runtime' failed to satisfy constraint: Member must \
                       satisfy enum value set: [python3.11, java21, provided.al2023]";
        return refusal(400, "InvalidParameterValueException", message);
    }
    if state.throttled_creations > 0 {
        state.throttled_creations -= 1;
        return refusal(429, "TooManyRequestsException", "Rate exceeded");
    }
    let name = json["FunctionName"].as_str().expect("a name").to_owned();
    let function = Function {
        environment: json["Environment"]["Variables"].clone(),
        tags: json["Tags"].clone(),
        memory: json["MemorySize"].clone(),
        role: json["Role"].clone(),
        zip: json["Code"]["ZipFile"].clone(),
        pending: 2,
        invocations: 0,
    };
    state.functions.insert(name.clone(), function);
    answer(201, configuration(&name, ("Pending", "Successful")))
}

fn configuration(name: &str, (state, update): (&str, &str)) -> Value {
    json!({
        "FunctionName": name, "State": state, "LastUpdateStatus": update,
        "FunctionArn": format!("arn:aws:lambda:us-east-1:000000000042:function:{name}"),
    })
}

fn invoke(path: &str, headers: &str, body: &str, state: &Shared) -> Manner {
    let together = {
        let mut state = state.lock().expect("no panic");
        state.seen.push("invoke".to_owned());
        if state.throttled_invocations > 0 {
            state.throttled_invocations -= 1;
            return refusal(429, "TooManyRequestsException", "Rate Exceeded.");
        }
        state.together.clone()
    };
    if let Some(together) = together {
        together.wait();
    }
    let name = path.split('/').nth(3).expect("a name");
    let mut state = state.lock().expect("no panic");
    let Some(function) = state.functions.get_mut(name) else {
        return refusal(404, "ResourceNotFoundException", "Function not found");
    };
    function.invocations += 1;
    let id = ("x-amzn-requestid", "id-1".to_owned());
    match serde_json::from_str::<Value>(body).expect("JSON")["fail"].as_str() {
        Some("hang up") => return Manner::HangUp,
        Some("nonsense") => return answer(200, json!("not the probe's")),
        Some(message) => {
            let headers = vec![id, ("x-amz-function-error", "Unhandled".to_owned())];
            let body = json!({"errorMessage": message, "errorType": "Probe.Failed"});
            return Manner::Answer(Answer { status: 200, headers, body });
        }
        None => {}
    }
    let mut headers_out = vec![id];
    if headers.contains("x-amz-log-type: Tail") {
        use base64::Engine;
        let log = "REPORT RequestId: id-1\tDuration: 2.50 ms\tBilled Duration: 3 ms\t\
                   Memory Size: 128 MB\tMax Memory Used: 17 MB\tInit Duration: 1.25 ms\t\n";
        let log = base64::engine::general_purpose::STANDARD.encode(log);
        headers_out.push(("x-amz-log-result", log));
    }
    let body = json!({
        "instance": "0123456789abcdef0123456789abcdef", "invocations": function.invocations,
        "started_unix_ns": 11, "finished_unix_ns": 12, "init_unix_ns": 10, "duration_ns": 1,
        "mark": function.environment["PEEK_MARK"], "version": "$LATEST", "memory_mib": 128,
        "identity": {"host_ids": {"boot_id": "b"}, "cpu_count": 2, "hostname": "h"},
    });
    let reply = Answer { status: 200, headers: headers_out, body };
    let last = function.invocations % 2 == 0;
    if state.closes && last { Manner::AnswerAndClose(reply) } else { Manner::Answer(reply) }
}

/// Request line, headers with names in lower case, and body.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String, String)> {
    let (mut first, mut headers, mut length) = (None, String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        match (line.split_once(": "), &first) {
            _ if line.is_empty() => break,
            (_, None) => first = Some(line.to_owned()),
            (Some((name, value)), _) => {
                let name = name.to_ascii_lowercase();
                if name == "content-length" {
                    length = value.parse().expect("a length");
                }
                headers += &format!("{name}: {value}\n");
            }
            (None, _) => panic!("no header: {line:?}"),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first?, headers, String::from_utf8(body).expect("text")))
}
