package supergraph

import (
	"encoding/json"
)

// The parts of the execution config that the router reads. Composition writes
// more (costs, subscription filters); what is not named here is not supported.
type (
	configFile struct {
		Engine    engineConfig     `json:"engineConfig"`
		Subgraphs []subgraphConfig `json:"subgraphs"`
	}
	subgraphConfig struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		RoutingURL string `json:"routingUrl"`
	}
	engineConfig struct {
		DataSources   []dataSourceConfig `json:"datasourceConfigurations"`
		Fields        []fieldConfig      `json:"fieldConfigurations"`
		Types         []typeConfig       `json:"typeConfigurations"`
		ClientSchema  string             `json:"graphqlClientSchema"`
		RouterSchema  string             `json:"graphqlSchema"`
		FlushInterval json.Number        `json:"defaultFlushInterval"`
		Strings       map[string]string  `json:"stringStorage"`
	}
	dataSourceConfig struct {
		ID            string            `json:"id"`
		Kind          string            `json:"kind"`
		RootNodes     []typeFields      `json:"rootNodes"`
		ChildNodes    []typeFields      `json:"childNodes"`
		CustomGraphQL graphQLSource     `json:"customGraphql"`
		Directives    []directiveConfig `json:"directives"`
		Keys          []federatedField  `json:"keys"`
		Provides      []federatedField  `json:"provides"`
		Requires      []federatedField  `json:"requires"`
		Interfaces    []interfaceConfig `json:"entityInterfaces"`
		Objects       []interfaceConfig `json:"interfaceObjects"`
	}
	graphQLSource struct {
		Fetch struct {
			URL staticString `json:"url"`
		} `json:"fetch"`
		Subscription struct {
			Protocol string `json:"protocol"`
		} `json:"subscription"`
		Federation struct {
			Enabled bool   `json:"enabled"`
			SDL     string `json:"serviceSdl"`
		} `json:"federation"`
		UpstreamSchema struct {
			Key string `json:"key"`
		} `json:"upstreamSchema"`
		ScalarFields []fieldPlace `json:"customScalarTypeFields"`
	}
	staticString struct {
		Value string `json:"staticVariableContent"`
	}
	typeFields struct {
		TypeName       string   `json:"typeName"`
		FieldNames     []string `json:"fieldNames"`
		ExternalFields []string `json:"externalFieldNames"`
		ReasonFields   []string `json:"requireFetchReasonsFieldNames"`
	}
	directiveConfig struct {
		Name     string `json:"directiveName"`
		RenameTo string `json:"renameTo"`
	}
	// scopesList are scopes that must be held together.
	scopesList struct {
		Scopes []string `json:"requiredAndScopes"`
	}
	fieldPlace struct {
		TypeName  string `json:"typeName"`
		FieldName string `json:"fieldName"`
	}
	federatedField struct {
		TypeName              string         `json:"typeName"`
		FieldName             string         `json:"fieldName"`
		SelectionSet          string         `json:"selectionSet"`
		DisableEntityResolver bool           `json:"disableEntityResolver"`
		Conditions            []keyCondition `json:"conditions"`
	}
	keyCondition struct {
		Coordinates []fieldPlace `json:"fieldCoordinatesPath"`
		Path        []string     `json:"fieldPath"`
	}
	interfaceConfig struct {
		Interface string   `json:"interfaceTypeName"`
		Concrete  []string `json:"concreteTypeNames"`
	}
	fieldConfig struct {
		fieldPlace
		Arguments []struct {
			Name   string `json:"name"`
			Source string `json:"sourceType"`
		} `json:"argumentsConfiguration"`
		Authorization struct {
			RequiresAuthentication bool         `json:"requiresAuthentication"`
			Scopes                 []scopesList `json:"requiredOrScopes"`
		} `json:"authorizationConfiguration"`
	}
	typeConfig struct {
		TypeName string `json:"typeName"`
		RenameTo string `json:"renameTo"`
	}
)
