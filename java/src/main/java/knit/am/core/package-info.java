/** The reducer. Its packages depend on each other in this order only: store, application, effects, message, model. */
package knit.am.core;
