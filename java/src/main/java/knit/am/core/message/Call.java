package knit.am.core.message;

import java.util.Map;
import knit.am.core.model.Outcome;
import knit.am.json.Json;

/** A call over HTTP (docs/protocol.md, section 5). It is answered with an {@link Action.Answer} that has the same ticket. */
public abstract class Call extends Event {
  public final Object ticket;
  /** The container whose state or store the call changes; null for the client, and for calls that change nothing. */
  public final String yarn;
  /** Identifies repetitions of the call; may be null. */
  public final String token;

  private Call(long at, Object ticket) {
    this(at, ticket, null, null);
  }

  private Call(long at, Object ticket, String yarn, String token) {
    super(at);
    this.ticket = ticket;
    this.yarn = yarn;
    this.token = token;
  }

  /** What to read. */
  public enum What {
    APPLICATION,
    CONTAINERS,
    RESULTS,
    /** The content of the web page. */
    PAGE
  }

  public static final class Read extends Call {
    public final What what;

    public Read(long at, Object ticket, What what) {
      super(at, ticket);
      this.what = what;
    }
  }

  public static final class ReadEvents extends Call {
    public final long after;
    public final int most;
    public final long deadline;

    /** @param deadline until when to wait for one */
    public ReadEvents(long at, Object ticket, long after, int most, long deadline) {
      super(at, ticket);
      this.after = after;
      this.most = most;
      this.deadline = deadline;
    }
  }

  /** List a container's log files, or read a part of one, from its NodeManager. */
  public static final class ReadLog extends Call {
    public final String container;
    public final String file;
    public final long offset;
    public final long size;
    public final int limit;

    /**
     * @param container an instance, {@code main_0}, or YARN's id; also the ApplicationMaster's own, or {@code master}
     * @param file the file's name, null to list the files
     * @param offset of the first byte
     * @param size of the file as far as the caller knows it; a wrong one costs time only
     * @param limit most bytes of the reply
     */
    public ReadLog(long at, Object ticket, String container, String file, long offset, long size, int limit) {
      super(at, ticket);
      this.container = container;
      this.file = file;
      this.offset = offset;
      this.size = size;
      this.limit = limit;
    }
  }

  /** A call that changes the application. A container may make it only if its service has {@code manages}. */
  public abstract static class Managing extends Call {
    /** The container that calls, null for the client. */
    public final String caller;

    private Managing(long at, Object ticket, String caller, String token) {
      super(at, ticket, null, token);
      this.caller = caller;
    }
  }

  public static final class Scale extends Managing {
    public final String service;
    public final int instances;
    public final boolean relative;

    /**
     * @param relative whether `instances` is a difference
     * @param token identifies repetitions, may be null
     */
    public Scale(long at, Object ticket, String caller, String service, int instances, boolean relative, String token) {
      super(at, ticket, caller, token);
      this.service = service;
      this.instances = instances;
      this.relative = relative;
    }
  }

  public static final class Kill extends Managing {
    public final String container;

    /**
     * @param container an instance, {@code main_0}, or YARN's id
     * @param token identifies repetitions, may be null
     */
    public Kill(long at, Object ticket, String caller, String container, String token) {
      super(at, ticket, caller, token);
      this.container = container;
    }
  }

  /** Change the application's queue or priority. */
  public static final class Administer extends Managing {
    public final boolean queue;
    public final String value;

    public Administer(long at, Object ticket, String caller, boolean queue, String value) {
      super(at, ticket, caller, null);
      this.queue = queue;
      this.value = value;
    }
  }

  /** Read the delegation tokens. With `renew`, first use those that the client has put into the application's folder. */
  public static final class Tokens extends Call {
    public final boolean renew;

    public Tokens(long at, Object ticket, boolean renew) {
      super(at, ticket);
      this.renew = renew;
    }
  }

  public static final class Progress extends Call {
    public final double progress;
    public final Map<String, Object> metrics;

    /** @param yarn the container that reports, null for the client */
    public Progress(long at, Object ticket, String yarn, double progress, Map<String, Object> metrics) {
      super(at, ticket, yarn, null);
      this.progress = progress;
      this.metrics = metrics;
    }
  }

  public static final class Ready extends Call {
    public Ready(long at, Object ticket, String yarn) {
      super(at, ticket, yarn, null);
    }
  }

  public static final class Returned extends Call {
    public final Json.Raw value;

    public Returned(long at, Object ticket, String yarn, Json.Raw value) {
      super(at, ticket, yarn, null);
      this.value = value;
    }
  }

  public static final class KvPut extends Call {
    public final String key;
    public final Json.Raw value;
    public final Long expect;

    /**
     * @param expect the revision that the key must have; 0: it must not exist; null: any
     * @param token identifies repetitions, may be null
     */
    public KvPut(long at, Object ticket, String yarn, String key, Json.Raw value, Long expect, String token) {
      super(at, ticket, yarn, token);
      this.key = key;
      this.value = value;
      this.expect = expect;
    }
  }

  public static final class KvAppend extends Call {
    public final String prefix;
    public final Json.Raw value;

    public KvAppend(long at, Object ticket, String yarn, String prefix, Json.Raw value, String token) {
      super(at, ticket, yarn, token);
      this.prefix = prefix;
      this.value = value;
    }
  }

  public static final class KvDelete extends Call {
    public final String key;
    public final Long expect;

    public KvDelete(long at, Object ticket, String yarn, String key, Long expect, String token) {
      super(at, ticket, yarn, token);
      this.key = key;
      this.expect = expect;
    }
  }

  public static final class KvGet extends Call {
    public final String key;
    public final long after;
    public final long deadline;

    /** @param after the reply has a newer revision than this */
    public KvGet(long at, Object ticket, String key, long after, long deadline) {
      super(at, ticket);
      this.key = key;
      this.after = after;
      this.deadline = deadline;
    }
  }

  public static final class KvList extends Call {
    public final String prefix;
    public final long after;
    public final boolean values;
    public final long deadline;

    /** @param after the reply has what changed after this revision, and waits for a change; -1 for all keys, at once */
    public KvList(long at, Object ticket, String prefix, long after, boolean values, long deadline) {
      super(at, ticket);
      this.prefix = prefix;
      this.after = after;
      this.values = values;
      this.deadline = deadline;
    }
  }

  public static final class Arrive extends Call {
    public final String name;
    public final int parties;
    public final long deadline;

    /** @param parties how many must arrive; 0 for all instances of the service */
    public Arrive(long at, Object ticket, String yarn, String name, int parties, long deadline) {
      super(at, ticket, yarn, null);
      this.name = name;
      this.parties = parties;
      this.deadline = deadline;
    }
  }

  public static final class AddPage extends Call {
    public final String name;
    public final int port;
    public final String path;

    public AddPage(long at, Object ticket, String yarn, String name, int port, String path) {
      super(at, ticket, yarn, null);
      this.name = name;
      this.port = port;
      this.path = path;
    }
  }

  public static final class Shutdown extends Managing {
    public final Outcome outcome;
    public final String diagnostics;

    public Shutdown(long at, Object ticket, String caller, Outcome outcome, String diagnostics) {
      super(at, ticket, caller, null);
      this.outcome = outcome;
      this.diagnostics = diagnostics;
    }
  }
}
