package knit.am.json;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** Reads the fields of one JSON object. A wrong type, a missing and an unknown field are errors that name the place. */
public final class Fields {
  private final String place;
  private final Map<String, Object> left = new LinkedHashMap<>();

  /**
   * @param place how errors name this object
   * @throws IllegalArgumentException if the value is not an object
   */
  public Fields(Object value, String place) {
    if (!(value instanceof Map)) {
      throw new IllegalArgumentException(place + " is not a JSON object");
    }
    this.place = place;
    for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
      left.put((String) entry.getKey(), entry.getValue());
    }
  }

  public boolean has(String name) {
    return left.containsKey(name);
  }

  public Object any(String name) {
    if (!left.containsKey(name)) {
      throw new IllegalArgumentException(place + " has no \"" + name + "\"");
    }
    return left.remove(name);
  }

  public String text(String name) {
    return as(String.class, name, "a string");
  }

  /** A string that is one of the words. */
  public String one(String name, String... words) {
    String value = text(name);
    if (!Arrays.asList(words).contains(value)) {
      throw new IllegalArgumentException(
          place + ": \"" + name + "\" is \"" + value + "\", it must be one of " + String.join(", ", words));
    }
    return value;
  }

  public boolean flag(String name) {
    return as(Boolean.class, name, "true or false");
  }

  /** A whole number from low to high. */
  public long whole(String name, long low, long high) {
    long value = as(Long.class, name, "a whole number");
    if (value < low || value > high) {
      throw new IllegalArgumentException(
          place + ": \"" + name + "\" is " + value + ", it must be " + low + " to " + high);
    }
    return value;
  }

  public int integer(String name) {
    return (int) whole(name, Integer.MIN_VALUE, Integer.MAX_VALUE);
  }

  public double number(String name) {
    return as(Number.class, name, "a number").doubleValue();
  }

  public Fields object(String name) {
    return new Fields(any(name), place + "." + name);
  }

  @SuppressWarnings("unchecked")
  public Map<String, Object> map(String name) {
    return as(Map.class, name, "a JSON object");
  }

  @SuppressWarnings("unchecked")
  public List<Object> list(String name) {
    return new ArrayList<Object>(as(List.class, name, "a list"));
  }

  public List<String> texts(String name) {
    List<String> texts = new ArrayList<>();
    for (Object item : list(name)) {
      if (!(item instanceof String)) {
        throw new IllegalArgumentException(place + ": \"" + name + "\" holds something that is not a string");
      }
      texts.add((String) item);
    }
    return texts;
  }

  public List<String> names() {
    return new ArrayList<>(left.keySet());
  }

  /** Call after the last field was read. */
  public void end() {
    if (!left.isEmpty()) {
      throw new IllegalArgumentException(place + " has unknown keys: " + String.join(", ", new TreeSet<>(left.keySet())));
    }
  }

  private <T> T as(Class<T> type, String name, String what) {
    Object value = any(name);
    if (!type.isInstance(value)) {
      throw new IllegalArgumentException(place + ": \"" + name + "\" is not " + what);
    }
    return type.cast(value);
  }
}
