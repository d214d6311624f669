package knit.am;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.FutureTask;
import knit.am.api.Api;
import knit.am.api.ProxyTls;
import knit.am.api.Signatures;
import knit.am.api.WebUi;
import knit.am.core.model.Exits;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.gateway.HadoopDelegationTokens;
import knit.am.gateway.HdfsApplicationFolder;
import knit.am.gateway.HttpNodeLogs;
import knit.am.gateway.NetworkProbes;
import knit.am.gateway.YarnNodeManagers;
import knit.am.gateway.YarnProxies;
import knit.am.gateway.YarnResourceManager;
import knit.am.util.Clock;
import knit.am.util.Log;
import knit.am.util.SteadyClock;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonConfigurationKeysPublic;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.hadoop.yarn.api.records.ApplicationAccessType;
import org.apache.hadoop.yarn.api.records.ApplicationAttemptId;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** The process: reads its settings from YARN, connects the parts, and ends even if a thread hangs. */
public final class Main {
  static {
    ConfLoader.install(System.getProperties()); // before Hadoop's classes, which the next fields load
  }

  private static final Text SECRET = new Text("knit.secret");
  private static final Clock CLOCK = new SteadyClock();
  /** Milliseconds after SIGTERM for writing the result. */
  private static final long SIGTERM_TIMEOUT = 200;
  /** Milliseconds after the end for the process to exit. */
  private static final long WATCHDOG = 15_000;
  /** Milliseconds at the end for files that are being written. */
  private static final long CLOSE_TIMEOUT = 1_000;
  private static final ClassArchive ARCHIVE = ClassArchive.ofProcess();
  private static volatile EventLoop loop;
  /** The watchdog's exit code. */
  private static volatile int exit = 1;
  private static boolean finished;

  private Main() {}

  public static void main(String[] arguments) {
    Log.phase("main");
    Thread.setDefaultUncaughtExceptionHandler(Main::died);
    if (ARCHIVE != null) {
      ARCHIVE.began();
    }
    int code = 1;
    try {
      code = run();
    } catch (Throwable error) {
      error.printStackTrace();
      // The last line, because YARN shows the last 4 KiB in the application's diagnostics. An orderly exit would close HDFS's
      // client first, about which threads that write files print longer texts.
      Log.line(Exits.ATTEMPT_ENDS + (error instanceof EventLoop.Died ? error.getMessage() : Log.reason(error)));
      Runtime.getRuntime().halt(code);
    }
    exit = code;
    EventLoop.daemon(Main::watch, "watchdog").start();
    Log.phase("exit " + code);
    if (finished && ARCHIVE != null) {
      ARCHIVE.finish(CLOCK.now());
    }
    System.exit(code);
  }

  /** A thread has died and is not replaced, so this attempt ends. */
  private static void died(Thread thread, Throwable error) {
    EventLoop.daemon(Main::watch, "watchdog").start();
    if (loop != null) {
      loop.died(thread.getName(), error);
      return;
    }
    Log.line(Exits.ATTEMPT_ENDS + new EventLoop.Died(thread.getName(), error).getMessage());
    Runtime.getRuntime().halt(1);
  }

  private static int run() throws Exception {
    Map<String, String> env = System.getenv();
    String host = env.containsKey("NM_HOST") ? env.get("NM_HOST") : InetAddress.getLocalHost().getHostName();
    Spec spec;
    try {
      spec = Spec.parse(Files.readAllBytes(Paths.get("knit-app.json")));
    } catch (IllegalArgumentException | IOException error) {
      return giveUp(host, "the ApplicationMaster cannot use its knit-app.json: " + Log.reason(error));
    }
    FutureTask<Api> listening = new FutureTask<>(() -> {
      Api api = new Api(host, spec.firstPort, spec.lastPort, ProxyTls.of(env));
      Log.phase("listening");
      return api;
    });
    EventLoop.daemon(listening, "listen").start();

    ApplicationAttemptId attempt = ContainerId.fromString(env.get("CONTAINER_ID")).getApplicationAttemptId();
    String user = env.containsKey("USER") ? env.get("USER") : spec.user;
    Identity identity = new Identity(attempt.getApplicationId().toString(), attempt.getAttemptId(), user,
        env.get("CONTAINER_ID"), nodeHttp(env));
    Configuration configuration = configuration();
    UserGroupInformation.setConfiguration(configuration);
    Credentials credentials = UserGroupInformation.getCurrentUser().getCredentials();
    Log.phase("logged in");
    byte[] secret = credentials.getSecretKey(SECRET);
    if (secret == null) {
      return giveUp(host, "the ApplicationMaster was given no secret \"" + SECRET + "\"");
    }
    Map<String, Container> containers = new ConcurrentHashMap<>();
    YarnResourceManager manager = new YarnResourceManager(configuration, CLOCK, containers, attempt.getApplicationId());
    Log.phase("client made");
    HdfsApplicationFolder folder = new HdfsApplicationFolder(configuration, spec.staging, identity.application, identity.attempt);
    HadoopDelegationTokens tokens = new HadoopDelegationTokens(UserGroupInformation.getCurrentUser(), folder, CLOCK);
    YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, tokens,
        yarn -> Signatures.containerToken(secret, yarn), acls(spec));
    EventLoop.daemon(() -> warmUp(nodes, spec), "warm-up").start();
    loop = new EventLoop(identity, spec, CLOCK, manager, nodes, new NetworkProbes(),
        new HttpNodeLogs(configuration, identity.user), folder, tokens);
    if (identity.attempt > 1) {
      renew(tokens, spec);
      try {
        if (!loop.recover() && ARCHIVE != null) {
          ARCHIVE.distrust();
        }
      } catch (RuntimeException error) {
        return giveUp(host, "the journal of an earlier attempt is invalid: " + Log.reason(error));
      }
    }
    Api api;
    try {
      api = listening.get();
    } catch (java.util.concurrent.ExecutionException error) {
      return giveUp(host, "the ApplicationMaster cannot serve its API: " + Log.reason(error.getCause()));
    }
    WebUi webUi = new WebUi(identity, new YarnProxies(configuration, identity.application, CLOCK),
        YarnProxies.viewers(configuration, identity.user, spec.viewers), loop::post, CLOCK);
    api.open(identity, secret, loop::post, CLOCK, webUi);
    ShutdownHookManager.get().addShutdownHook(() -> loop.terminate(SIGTERM_TIMEOUT), 100);
    int code;
    try {
      code = loop.run(host, api.port(), api.trackingUrl(host));
      api.drain(1000);
    } finally {
      folder.close(CLOSE_TIMEOUT);
    }
    finished = code == 0;
    return code;
  }

  private static Map<ApplicationAccessType, String> acls(Spec spec) {
    Map<ApplicationAccessType, String> acls = new EnumMap<>(ApplicationAccessType.class);
    if (!spec.viewers.isEmpty()) {
      acls.put(ApplicationAccessType.VIEW_APP, spec.viewers);
    }
    if (!spec.modifiers.isEmpty()) {
      acls.put(ApplicationAccessType.MODIFY_APP, spec.modifiers);
    }
    return acls;
  }

  /** YARN starts a later attempt with the tokens of the launch, which may end soon; the client may have given newer ones since. */
  private static void renew(HadoopDelegationTokens tokens, Spec spec) {
    if (!spec.simple) {
      try {
        Log.line(tokens.read() + " delegation tokens are newer than those of the launch");
      } catch (IOException | RuntimeException error) {
        Log.line("the delegation tokens are those of the launch, as newer ones cannot be read: " + Log.reason(error));
      }
    }
  }

  /** The web server of this process's own NodeManager, null without YARN's variables. */
  private static String nodeHttp(Map<String, String> env) {
    String host = env.get("NM_HOST");
    String port = env.get("NM_HTTP_PORT");
    return host == null || port == null ? null : host + ":" + port;
  }

  private static void warmUp(YarnNodeManagers nodes, Spec spec) {
    try {
      for (Spec.Service service : spec.services.values()) {
        nodes.warmUp(service);
      }
      Log.phase("warm");
    } catch (IOException | RuntimeException | LinkageError error) {
      Log.line("the warm-up failed, which has no effect but time: " + Log.reason(error));
    }
  }

  private static Configuration configuration() {
    Configuration configuration = new YarnConfiguration();
    // Hadoop makes one client for all connections of a process, with the first configuration that it gets.
    configuration.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_TIMEOUT_KEY, YarnNodeManagers.CONNECT);
    return configuration;
  }

  /** Fail the application, because the next attempt would have the same problem. */
  private static int giveUp(String host, String problem) throws IOException {
    Log.line(problem);
    YarnResourceManager manager = new YarnResourceManager(configuration(), CLOCK, new ConcurrentHashMap<>(), null);
    manager.register(host, -1, "");
    manager.unregister(Outcome.FAILED, Exits.clip(problem));
    return 0;
  }

  private static void watch() {
    try {
      Thread.sleep(WATCHDOG);
    } catch (InterruptedException error) {
      Log.line("the watchdog was interrupted");
    }
    Runtime.getRuntime().halt(exit);
  }
}
