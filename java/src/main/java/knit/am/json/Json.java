package knit.am.json;

import com.fasterxml.jackson.core.JsonEncoding;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.OutputStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Predicate;

/**
 * JSON as maps, lists, strings, longs, booleans and null, with Jackson's streaming parser. Jackson's data binding would take
 * longer to load than everything else that the ApplicationMaster reads and writes.
 */
public final class Json {
  private static final JsonFactory FACTORY = new JsonFactory();
  private static final int MAX_DEPTH = 200;

  private Json() {}

  /** A number kept as its text, so that no digits are lost. */
  public static final class Literal extends Number {
    private static final long serialVersionUID = 1L;
    private final String text;

    Literal(String text) {
      this.text = text;
    }

    @Override
    public int intValue() {
      return (int) doubleValue();
    }

    @Override
    public long longValue() {
      return (long) doubleValue();
    }

    @Override
    public float floatValue() {
      return (float) doubleValue();
    }

    @Override
    public double doubleValue() {
      return Double.parseDouble(text);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Literal && ((Literal) other).text.equals(text);
    }

    @Override
    public int hashCode() {
      return text.hashCode();
    }

    @Override
    public String toString() {
      return text;
    }
  }

  /** Valid JSON text that is written unchanged. Values of callers are kept like this, because trees would take more memory. */
  public static final class Raw {
    public final String text;

    public Raw(Object value) {
      text = value instanceof Raw ? ((Raw) value).text : write(value);
    }

    private Raw(byte[] source, int from, int to) {
      text = new String(source, from, to - from, StandardCharsets.UTF_8);
    }
  }

  /** A value that is made when it is written, so that of many values one exists at a time. */
  public interface Lazy {
    Object value();
  }

  /**
   * Read one JSON value.
   *
   * @throws IllegalArgumentException if it is not exactly one value, repeats a key or is nested too deeply
   */
  public static Object parse(byte[] text) {
    try (JsonParser parser = FACTORY.createParser(text)) {
      parser.enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
      if (parser.nextToken() == null) {
        throw new IllegalArgumentException("nothing where JSON was expected");
      }
      Object value = value(parser, 0);
      if (parser.nextToken() != null) {
        throw new IllegalArgumentException("more than one JSON value");
      }
      return value;
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException("not JSON: " + error.getOriginalMessage());
    } catch (IOException error) {
      throw new IllegalArgumentException("not JSON: " + error.getMessage());
    }
  }

  /**
   * Read one line of the journal, {@code ["key", record, "key", record, …]}. The values of callers are kept as text.
   *
   * @param isText whether the record of a key is a caller's value as a whole
   * @param records gets each key and its record, null for a deleted one
   */
  public static void parseRecords(byte[] line, Predicate<String> isText, BiConsumer<String, Object> records) {
    try (JsonParser parser = FACTORY.createParser(line)) {
      parser.nextToken();
      for (String key = parser.nextTextValue(); key != null; key = parser.nextTextValue()) {
        parser.nextToken();
        records.accept(key, isText.test(key) ? new Raw(raw(parser, line)) : record(parser, line));
      }
      if (parser.currentToken() != JsonToken.END_ARRAY) {
        throw new IllegalArgumentException("not a line of records");
      }
    } catch (IOException error) {
      throw new IllegalArgumentException("not JSON: " + error.getMessage());
    }
  }

  private static Object record(JsonParser parser, byte[] line) throws IOException {
    if (parser.currentToken() != JsonToken.START_OBJECT) {
      return value(parser, 1);
    }
    Map<String, Object> map = new LinkedHashMap<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String name = parser.getCurrentName();
      parser.nextToken();
      map.put(name, name.equals("value") ? raw(parser, line) : value(parser, 2));
    }
    return map;
  }

  private static Object raw(JsonParser parser, byte[] line) throws IOException {
    if (parser.currentToken() == JsonToken.VALUE_NULL) {
      return null;
    }
    int from = (int) parser.getTokenLocation().getByteOffset();
    parser.skipChildren();
    parser.getTextLength(); // makes the parser read a string to its end
    return new Raw(line, from, (int) parser.getCurrentLocation().getByteOffset());
  }

  private static Object value(JsonParser parser, int depth) throws IOException {
    if (depth > MAX_DEPTH) {
      throw new IllegalArgumentException("JSON nested deeper than " + MAX_DEPTH);
    }
    switch (parser.currentToken()) {
      case START_OBJECT:
        Map<String, Object> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String name = parser.getCurrentName();
          parser.nextToken();
          map.put(name, value(parser, depth + 1));
        }
        return map;
      case START_ARRAY:
        List<Object> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(value(parser, depth + 1));
        }
        return list;
      case VALUE_STRING:
        return parser.getText();
      case VALUE_NUMBER_INT:
        return parser.getTextLength() < 19 ? (Object) parser.getLongValue() : new Literal(parser.getText());
      case VALUE_NUMBER_FLOAT:
        return new Literal(parser.getText());
      case VALUE_TRUE:
        return Boolean.TRUE;
      case VALUE_FALSE:
        return Boolean.FALSE;
      case VALUE_NULL:
        return null;
      default:
        throw new IllegalArgumentException("not JSON");
    }
  }

  /** One line of ASCII JSON. */
  @SuppressWarnings("deprecation") // clusters have Jackson versions without its successor
  public static String write(Object value) {
    StringWriter out = new StringWriter(256);
    try (JsonGenerator generator = FACTORY.createGenerator(out)) {
      generator.enable(JsonGenerator.Feature.ESCAPE_NON_ASCII);
      put(generator, value);
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
    return out.toString();
  }

  /** Writes ASCII JSON piece by piece. */
  @SuppressWarnings("deprecation")
  public static void write(OutputStream out, Object value) throws IOException {
    JsonGenerator generator = FACTORY.createGenerator(out, JsonEncoding.UTF8);
    generator.disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);
    generator.enable(JsonGenerator.Feature.ESCAPE_NON_ASCII);
    put(generator, value);
    generator.flush();
  }

  private static void put(JsonGenerator generator, Object value) throws IOException {
    if (value == null) {
      generator.writeNull();
    } else if (value instanceof String) {
      generator.writeString((String) value);
    } else if (value instanceof Map) {
      generator.writeStartObject();
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        generator.writeFieldName(String.valueOf(entry.getKey()));
        put(generator, entry.getValue());
      }
      generator.writeEndObject();
    } else if (value instanceof Iterable) {
      generator.writeStartArray();
      for (Object item : (Iterable<?>) value) {
        put(generator, item);
      }
      generator.writeEndArray();
    } else if (value instanceof Raw) {
      generator.writeRawValue(((Raw) value).text);
    } else if (value instanceof Lazy) {
      put(generator, ((Lazy) value).value());
    } else if (value instanceof Boolean) {
      generator.writeBoolean((Boolean) value);
    } else if (value instanceof Literal) {
      generator.writeNumber(value.toString());
    } else if (value instanceof Integer || value instanceof Long) {
      generator.writeNumber(((Number) value).longValue());
    } else if (value instanceof Double) {
      generator.writeNumber((Double) value);
    } else {
      throw new IllegalArgumentException("no JSON for a " + value.getClass().getName());
    }
  }

  /** A map that keeps its order, from names and values in turn. */
  public static Map<String, Object> map(Object... namesAndValues) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      map.put((String) namesAndValues[i], namesAndValues[i + 1]);
    }
    return map;
  }
}
