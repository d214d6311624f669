package knit.am;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** The file of JVM options beside an archive of classes: {@link ClassArchive}. */
final class ClassArchiveOptions {
  /** What the options made the JVM do. */
  enum Given { NOTHING, PAUSE, RECORD, USE }

  private static final String FIRST_LINE = "-Dknit.archive.size=";

  final Given given;
  /** The archive's bytes. */
  final long size;
  /** Recordings since an archive was last used. */
  final int tries;
  /** When the file was written, in milliseconds since the epoch. */
  final long written;

  ClassArchiveOptions(Given given, long size, int tries) {
    this(given, size, tries, 0);
  }

  private ClassArchiveOptions(Given given, long size, int tries, long written) {
    this.given = given;
    this.size = size;
    this.tries = tries;
    this.written = written;
  }

  /** Null if the file does not exist or is invalid. */
  static ClassArchiveOptions read(Path file) {
    try {
      String[] lines = new String(Files.readAllBytes(file), StandardCharsets.US_ASCII).split("\n");
      String size = lines[0].substring(FIRST_LINE.length());
      return new ClassArchiveOptions(Given.valueOf(lines[1].substring(lines[1].indexOf('=') + 1)),
          size.isEmpty() ? 0 : Long.parseLong(size), Integer.parseInt(lines[2].substring(lines[2].indexOf('=') + 1)),
          file.toFile().lastModified());
    } catch (IOException | RuntimeException error) {
      return null;
    }
  }

  String text(Path archive) {
    String text = FIRST_LINE + (given == Given.USE ? size : "") + "\n-Dknit.archive.given=" + given
        + "\n-Dknit.archive.tries=" + tries + "\n";
    if (given == Given.USE) {
      text += "-XX:SharedArchiveFile=" + archive + "\n-XX:+VerifySharedSpaces\n-Xlog:disable\n";
    } else if (given == Given.RECORD) {
      text += "-XX:+RecordDynamicDumpInfo\n-Xlog:disable\n";
    }
    return text;
  }
}
