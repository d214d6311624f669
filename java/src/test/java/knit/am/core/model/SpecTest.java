package knit.am.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import knit.am.Specs;
import org.junit.jupiter.api.Test;

class SpecTest {
  private static String problem(String from, String to) {
    String json = Specs.json(2, 0);
    assertTrue(json.contains(from));
    byte[] text = json.replace(from, to).getBytes(StandardCharsets.UTF_8);
    return assertThrows(IllegalArgumentException.class, () -> Spec.parse(text)).getMessage();
  }

  @Test
  void everyFieldIsRead() {
    Spec spec = Specs.of(2, 7);
    Spec.Service main = spec.services.get("main");
    assertEquals("t alice hdfs://nn:9820/user/alice/.knit true 0 0 7", spec.name + " " + spec.user + " " + spec.staging + " "
        + spec.simple + " " + spec.firstPort + " " + spec.lastPort + " " + spec.lifetime);
    assertEquals("2 128 1 {yarn.io/gpu=1} knit-main.sh {A=b}", main.instances + " " + main.memory + " " + main.vcores + " "
        + main.resources + " " + main.script + " " + main.env);
    Spec.File file = main.files.get(0);
    assertEquals("knit-main.sh hdfs://nn/x 1 2 FILE PRIVATE", file.link + " " + file.url + " " + file.size + " "
        + file.timestamp + " " + file.type + " " + file.visibility);
  }

  @Test
  void whatIsWrongIsNamed() {
    assertEquals("knit-app.json has unknown keys: nmae", problem("\"name\":\"t\"", "\"name\":\"t\",\"nmae\":1"));
    assertEquals("knit-app.json has no \"user\"", problem("\"user\":\"alice\",", ""));
    assertEquals("knit-app.json.services.main has unknown keys: cpus", problem("\"vcores\":1", "\"vcores\":1,\"cpus\":1"));
    assertEquals("knit-app.json.services.main: \"memory\" is 0, it must be 1 to 2147483647",
        problem("\"memory\":128", "\"memory\":0"));
    assertEquals("knit-app.json: \"format\" is 1, it must be 2 to 2", problem("\"format\":2", "\"format\":1"));
    assertTrue(problem("[0,0]", "[2,1]").contains("not a range"));
    assertTrue(problem("\"FILE\"", "\"LINK\"").contains("type"));
  }
}
