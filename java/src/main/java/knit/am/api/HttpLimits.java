package knit.am.api;

/** The limits of the HTTP server. Calls beyond them get 413 (too large) or 503 (too many). */
final class HttpLimits {
  // Connections and threads

  /** Threads that read requests. Each half-sent request holds one for {@link #REQUEST_SECONDS}: {@link SlowRequestLimit}. */
  static final int READERS = 256;
  /** Requests for web pages at a time. They use the same threads, and wait for containers that may be slow. */
  static final int PAGES = 64;
  /** Threads that send replies to containers, and as many for the client. A caller that does not read its reply holds one. */
  static final int SENDERS = 64;
  /** Threads that send replies to one container. */
  static final int SENDERS_EACH = 4;
  /** Seconds for a request to arrive. */
  static final int REQUEST_SECONDS = 10;
  /** Milliseconds that a request may take to arrive although others wait for a thread. */
  static final long LEAST_REQUEST_TIME = 1_000;
  /** Seconds for a caller to read its reply. */
  static final int REPLY_SECONDS = 60;
  /** Bytes of a request's headers. */
  static final int HEADER_BYTES = 32768;
  /** Seconds for the owner thread to answer, besides the time for which a call asks to wait. */
  static final int OWNER_SECONDS = 30;

  // Open calls: OpenCallLimit

  /** Heap of one open call, most of it the buffers of the JDK's server. Open calls take half of the heap at most. */
  static final long OPEN_CALL_BYTES = 30 << 10;
  static final int FEWEST_OPEN_CALLS = 512;
  static final int MOST_OPEN_CALLS = 6_000;
  /** The part of the open calls that the client has for itself: one in so many. */
  static final int CLIENT_PART = 4;
  /** The part of the client's open calls that only calls which end something can use. */
  static final int OPEN_RESERVE = 16;
  /** A container may have one in so many of the free calls. */
  static final int CONTAINER_SHARE = 16;
  /** Seconds for which a call may wait for a change. */
  static final int MAX_WAIT = 45;
  /** The same for a container while most of the open calls are used. */
  static final int SHORT_WAIT = 5;

  // Requests within a minute: Nonces

  static final int CONTAINER_REQUESTS = 300_000;
  static final int CLIENT_REQUESTS = 100_000;
  /** Of the client's, only for calls that end something. */
  static final int REQUEST_RESERVE = 1_000;

  // Sizes

  /** Bytes of a request's body. */
  static final int BODY = 1 << 20;
  /** A body of at most so many bytes does not count in {@link #ALL_BODIES}. */
  static final int SMALL_BODY = 8 << 10;
  /** Bytes of all bodies that are being read or handled: {@link BodyLimit}. */
  static final int ALL_BODIES = 4 * BODY;
  /** The same from one address. */
  static final int BODIES_EACH = ALL_BODIES / 2;
  /** Seconds for which a body waits until the others leave space for it. */
  static final int BODY_SECONDS = 5;
  /** Bytes of a value in the store, or of a result. */
  static final int VALUE = 256 << 10;
  static final int KEY = 512;
  static final int METRICS = 4 << 10;
  /** Bytes of a container's log in one reply. */
  static final int LOG = 128 << 10;
  /** Bytes of the name of a log file. */
  static final int LOG_NAME = 255;
  /** Entries of the timeline in one reply. */
  static final int EVENTS = 1_000;

  private HttpLimits() {}
}
