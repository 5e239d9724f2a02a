//! A server that speaks HTTP as badly as a test wants, and counts what it was asked.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its place among all requests, from 0.
    pub number: usize,
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    /// The content, if it is JSON.
    pub body: Value,
    /// The content, if it is not.
    pub content: Vec<u8>,
}

impl Asked {
    /// The last message of the chat.
    pub fn question(&self) -> &str {
        self.body["messages"]
            .as_array()
            .and_then(|all| all.last())
            .and_then(|m| m["content"].as_str())
            .unwrap_or_default()
    }
}

/// What the server does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A whole reply; the connection stays.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// These bytes and nothing else, then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, then a reset.
    Reset(Vec<u8>),
    /// These bytes, then nothing for so long.
    Hang(Vec<u8>, Duration),
    /// These bytes, one at a time with so long between them.
    Drip(Vec<u8>, Duration),
    /// A head, then this block again and again until the client has enough.
    Endless(Vec<u8>, Vec<u8>),
}

impl Act {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Reply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    /// An answer in OpenAI's protocol.
    pub fn answer(text: &str) -> Self {
        Self::json(200, &completion(text))
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error": {"message": message, "code": code}}))
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

pub fn completion(text: &str) -> Value {
    json!({"model": "fake-1", "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10}})
}

/// A whole reply as bytes.
pub fn whole(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n{}\r\n", body.len(), headers.concat());
    [head.as_bytes(), body].concat()
}

pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server that acts as `act` says; it ends with the test process.
    pub fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (asked, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let server = Self { url, asked: asked.clone(), count: count.clone() };
        let act = Arc::new(act);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, count, act) = (asked.clone(), count.clone(), act.clone());
                thread::spawn(move || {
                    // What the client does to the connection is its own affair.
                    let _ = serve(stream, &asked, &count, &*act);
                });
            }
        });
        server
    }

    /// How many requests came in.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// The requests that came in.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    asked: &Mutex<Vec<Asked>>,
    count: &AtomicUsize,
    act: &(dyn Fn(&Asked) -> Act + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            input.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let number = count.fetch_add(1, Ordering::SeqCst);
        let (body, content) =
            serde_json::from_slice(&body).map_or_else(|_| (Value::Null, body), |json| (json, Vec::new()));
        let request = Asked { number, method, path, headers, body, content };
        let act = act(&request);
        asked.lock().unwrap().push(request);
        match act {
            Act::Reply { status, headers, body } => {
                let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
                out.write_all(&whole(status, &headers, &body))?;
            }
            Act::Bytes(bytes) => {
                out.write_all(&bytes)?;
                return out.shutdown(Shutdown::Both);
            }
            Act::Reset(bytes) => {
                out.write_all(&bytes)?;
                // What was sent arrives before the reset.
                thread::sleep(Duration::from_millis(30));
                rustix::net::sockopt::set_socket_linger(&out, Some(Duration::ZERO))?;
                return Ok(());
            }
            Act::Hang(bytes, wait) => {
                out.write_all(&bytes)?;
                thread::sleep(wait);
                return Ok(());
            }
            Act::Drip(bytes, wait) => {
                for byte in bytes {
                    out.write_all(&[byte])?;
                    thread::sleep(wait);
                }
            }
            Act::Endless(head, block) => {
                out.write_all(&head)?;
                loop {
                    out.write_all(&block)?;
                }
            }
        }
    }
}
