package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Imports between the ApplicationMaster's packages run downwards only. */
class PackagesTest {
  private static final Path SOURCE = Paths.get("src/main/java");
  /** From top to bottom. */
  private static final List<String> ORDER = Arrays.asList("knit.am", "knit.am.gateway", "knit.am.api", "knit.am.core",
      "knit.am.core.store", "knit.am.core.application", "knit.am.core.effects", "knit.am.core.message", "knit.am.core.model",
      "knit.am.json", "knit.am.util");
  private static final Pattern IMPORT = Pattern.compile("^import (?:static )?(knit\\.am(?:\\.[a-z]+)*)\\.[A-Z]", Pattern.MULTILINE);

  @Test
  void importsRunDownwards() throws IOException {
    List<String> wrong = new ArrayList<>();
    for (Path file : files()) {
      int own = ORDER.indexOf(SOURCE.relativize(file.getParent()).toString().replace('/', '.'));
      Matcher found = IMPORT.matcher(new String(Files.readAllBytes(file), StandardCharsets.UTF_8));
      while (found.find()) {
        if (own < 0 || ORDER.indexOf(found.group(1)) < own) {
          wrong.add(file.getFileName() + " imports from " + found.group(1));
        }
      }
    }
    assertEquals(new ArrayList<>(), wrong);
  }

  private static List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(SOURCE)) {
      return all.filter(file -> file.toString().endsWith(".java")).collect(Collectors.toList());
    }
  }
}
