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
import knit.am.api.Signatures;
import knit.am.api.Website;
import knit.am.core.Exits;
import knit.am.core.Identity;
import knit.am.core.Outcome;
import knit.am.core.Spec;
import knit.am.gateway.Clock;
import knit.am.gateway.HdfsStore;
import knit.am.gateway.NetworkProbes;
import knit.am.gateway.SteadyClock;
import knit.am.gateway.YarnNodeManagers;
import knit.am.gateway.YarnProxies;
import knit.am.gateway.YarnResourceManager;
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

/** The process: reads what YARN gives it, connects the parts and ends without fail. */
public final class Main {
  static {
    ConfLoader.install(System.getProperties()); // before Hadoop's classes, which the next fields load
  }

  private static final Text SECRET = new Text("knit.secret");
  private static final Clock CLOCK = new SteadyClock();
  private static final long SIGTERM_PATIENCE = 200;
  private static final long WATCHDOG = 15_000;
  /** Milliseconds at the end for files that are being written. */
  private static final long WRITING = 1_000;
  private static final ClassArchive ARCHIVE = ClassArchive.ofProcess();
  private static volatile EventLoop master;
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
      // Last, because YARN shows the last lines in the application's diagnostics.
      Log.say(Exits.ATTEMPT_ENDS + (error instanceof EventLoop.Died ? error.getMessage() : Log.reason(error)));
    }
    exit = code;
    EventLoop.daemon(Main::watch, "watchdog").start();
    Log.phase("exit " + code);
    if (finished && ARCHIVE != null) {
      ARCHIVE.finish(CLOCK.now());
    }
    System.exit(code);
  }

  /** A thread has died, whoever made it: nobody does what it did, so this attempt ends. */
  private static void died(Thread thread, Throwable error) {
    EventLoop.daemon(Main::watch, "watchdog").start();
    if (master != null) {
      master.died(thread.getName(), error);
      return;
    }
    Log.say(Exits.ATTEMPT_ENDS + new EventLoop.Died(thread.getName(), error).getMessage());
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
      Api api = new Api(host, spec.firstPort, spec.lastPort);
      Log.phase("listening");
      return api;
    });
    EventLoop.daemon(listening, "listen").start();

    ApplicationAttemptId attempt = ContainerId.fromString(env.get("CONTAINER_ID")).getApplicationAttemptId();
    String user = env.containsKey("USER") ? env.get("USER") : spec.user;
    Identity identity = new Identity(attempt.getApplicationId().toString(), attempt.getAttemptId(), user);
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
    YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, credentials,
        yarn -> Signatures.containerToken(secret, yarn), acls(spec));
    EventLoop.daemon(() -> warmUp(nodes, spec), "warm-up").start();
    HdfsStore store = new HdfsStore(configuration, spec.staging, identity.application, identity.attempt);
    master = new EventLoop(identity, spec, CLOCK, manager, nodes, new NetworkProbes(), store);
    if (identity.attempt > 1) {
      try {
        if (!master.recover() && ARCHIVE != null) {
          ARCHIVE.distrust();
        }
      } catch (RuntimeException error) {
        return giveUp(host, "the journal of an earlier attempt makes no sense: " + Log.reason(error));
      }
    }
    Api api;
    try {
      api = listening.get();
    } catch (java.util.concurrent.ExecutionException error) {
      return giveUp(host, "the ApplicationMaster cannot serve its API: " + Log.reason(error.getCause()));
    }
    Website website = new Website(identity, new YarnProxies(configuration, identity.application, CLOCK),
        YarnProxies.viewers(configuration, identity.user, spec.viewers), master::post, CLOCK);
    api.open(identity, secret, master::post, CLOCK, website);
    ShutdownHookManager.get().addShutdownHook(() -> master.terminate(SIGTERM_PATIENCE), 100);
    int code = master.run(host, api.port());
    api.drain(1000);
    store.close(WRITING);
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

  private static void warmUp(YarnNodeManagers nodes, Spec spec) {
    try {
      for (Spec.Service service : spec.services.values()) {
        nodes.warmUp(service);
      }
      Log.phase("warm");
    } catch (IOException | RuntimeException | LinkageError error) {
      Log.say("the warm-up failed, which does no harm: " + Log.reason(error));
    }
  }

  private static Configuration configuration() {
    Configuration configuration = new YarnConfiguration();
    // Hadoop makes one client for all of a process's connections, with the first configuration that it is shown.
    configuration.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_TIMEOUT_KEY, YarnNodeManagers.CONNECT);
    return configuration;
  }

  /** What is wrong would be wrong at the next attempt too: say so and end for good. */
  private static int giveUp(String host, String problem) throws IOException {
    Log.say(problem);
    YarnResourceManager manager = new YarnResourceManager(configuration(), CLOCK, new ConcurrentHashMap<>(), null);
    manager.register(host, -1, "");
    manager.unregister(Outcome.FAILED, Exits.clip(problem));
    return 0;
  }

  private static void watch() {
    try {
      Thread.sleep(WATCHDOG);
    } catch (InterruptedException error) {
      Log.say("the watchdog was interrupted");
    }
    Runtime.getRuntime().halt(exit);
  }
}
